"""scikit-learn for MLBuffet."""

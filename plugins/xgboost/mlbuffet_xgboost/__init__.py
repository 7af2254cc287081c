"""XGBoost for MLBuffet."""

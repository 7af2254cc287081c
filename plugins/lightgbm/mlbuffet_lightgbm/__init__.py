"""LightGBM for MLBuffet."""

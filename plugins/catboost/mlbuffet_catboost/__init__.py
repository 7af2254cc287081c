"""CatBoost for MLBuffet."""

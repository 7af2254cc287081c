"""PyTorch for MLBuffet."""

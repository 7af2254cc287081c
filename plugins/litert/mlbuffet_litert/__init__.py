"""LiteRT for MLBuffet."""

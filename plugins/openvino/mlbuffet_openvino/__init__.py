"""OpenVINO for MLBuffet."""

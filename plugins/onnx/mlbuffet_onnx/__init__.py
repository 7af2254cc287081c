"""ONNX Runtime for MLBuffet."""

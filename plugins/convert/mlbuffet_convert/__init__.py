"""Models of other frameworks as ONNX, for `mlbuffet convert`."""

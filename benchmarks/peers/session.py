"""The model that every peer serves: a session of onnxruntime with one thread."""

import os

import onnxruntime

NAME = os.environ["NAME"]
PORT = int(os.environ["PORT"])
GRPC_PORT = int(os.environ["GRPC_PORT"])


def open_session() -> onnxruntime.InferenceSession:
    """The ONNX file that the environment names."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

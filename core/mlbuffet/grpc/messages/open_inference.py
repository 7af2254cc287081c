"""The messages of the Open Inference Protocol; their types are in ``open_inference.pyi``."""

from mlbuffet.grpc.messages.pool import add_messages

globals().update(add_messages("open_inference"))

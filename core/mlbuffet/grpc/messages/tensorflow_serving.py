"""The messages of TensorFlow Serving; their types are in ``tensorflow_serving.pyi``."""

from mlbuffet.grpc.messages.pool import add_messages

globals().update(add_messages("tensorflow_serving"))

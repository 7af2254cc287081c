"""TensorFlow's messages that TensorFlow Serving's hold; their types are in ``tensorflow_core.pyi``."""

from mlbuffet.grpc.messages.pool import add_messages

globals().update(add_messages("tensorflow_core"))

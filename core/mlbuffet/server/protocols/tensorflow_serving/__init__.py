"""TensorFlow Serving's REST API: the routes below /v1, and their codec.

https://github.com/tensorflow/serving/blob/master/tensorflow_serving/g3doc/api_rest.md
"""

from mlbuffet.server.protocols.tensorflow_serving.endpoints import TensorFlowServing, routes
from mlbuffet.server.protocols.tensorflow_serving.openapi_operations import protocol

__all__ = ["TensorFlowServing", "protocol", "routes"]

"""Open Inference Protocol v2 (KServe, Triton): the routes below /v2, and their codec.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from mlbuffet.server.protocols.open_inference.endpoints import OpenInference, routes
from mlbuffet.server.protocols.open_inference.openapi_operations import protocol

__all__ = ["OpenInference", "protocol", "routes"]

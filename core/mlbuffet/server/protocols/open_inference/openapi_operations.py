"""What each endpoint below /v2 reads and answers."""

from collections.abc import Sequence

from starlette.routing import Route

from mlbuffet.repository.names import MODEL_NAME
from mlbuffet.server.http.openapi import Operation, Protocol
from mlbuffet.server.protocols.open_inference import answers
from mlbuffet.server.protocols.open_inference.endpoints import ChangeRequest, IndexRequest, OpenInference
from mlbuffet.server.protocols.open_inference.requests import HEADER_LENGTH, InferRequest
from mlbuffet.version_numbers import PATTERN

_OF_MODELS = (400, 404, 503)  # 400: the version is no number

OPERATIONS = {
    OpenInference.server_metadata: Operation(answers.ServerMetadata),
    OpenInference.live: Operation(answers.Live),
    OpenInference.ready: Operation(answers.Ready, errors=(503,)),
    OpenInference.models: Operation(answers.ModelNames),
    OpenInference.model_metadata: Operation(answers.ModelMetadata, errors=_OF_MODELS),
    OpenInference.model_ready: Operation(answers.ModelReady, errors=_OF_MODELS),
    OpenInference.model_config: Operation(answers.ModelConfig, errors=_OF_MODELS),
    OpenInference.statistics: Operation(answers.Statistics, errors=(400, 404)),
    OpenInference.infer: Operation(
        answers.InferAnswer,
        InferRequest,
        example={"inputs": [{"name": "x", "shape": [3], "datatype": "FP32", "data": [1.0, 2.0, 5.0]}]},
        length_header=HEADER_LENGTH,
        optional=True,  # nothing is the raw buffer of an input without elements
        errors=(*_OF_MODELS, 500, 504),
    ),
    OpenInference.index: Operation(list[answers.IndexEntry], IndexRequest, example={"ready": True}, optional=True),
    OpenInference.load: Operation(
        answers.Changed, ChangeRequest, example={}, optional=True, errors=(400, 401, 403, 404, 422)
    ),
    OpenInference.unload: Operation(
        answers.Changed, ChangeRequest, example={}, optional=True, errors=(400, 401, 403, 404)
    ),
}


def protocol(routes: Sequence[Route]) -> Protocol:
    """The protocol as OpenAPI describes it."""
    patterns = {"model": MODEL_NAME.pattern, "version": PATTERN}
    return Protocol("Open Inference Protocol v2", routes, OPERATIONS, patterns)

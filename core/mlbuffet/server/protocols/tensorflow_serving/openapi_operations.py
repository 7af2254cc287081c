"""What each endpoint below /v1 reads and answers."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta
from starlette.routing import Route

from mlbuffet.repository.names import MODEL_NAME
from mlbuffet.server.http.openapi import Operation, Protocol
from mlbuffet.server.protocols.tensorflow_serving import answers
from mlbuffet.server.protocols.tensorflow_serving.endpoints import TensorFlowServing
from mlbuffet.server.protocols.tensorflow_serving.examples import ExamplesRequest
from mlbuffet.server.protocols.tensorflow_serving.requests import PredictRequest

_OF_MODELS = (400, 404, 503)
_OF_INFERENCE = (*_OF_MODELS, 500, 504)
_ROWS_OR_COLUMNS = Meta(extra_json_schema={"oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}]})
_EXAMPLES = {"examples": [{"x": 1.0}, {"x": [2.0]}]}

OPERATIONS = {
    TensorFlowServing.predict: Operation(
        answers.PredictAnswer,
        Annotated[PredictRequest, _ROWS_OR_COLUMNS],
        example={"instances": [1.0, 2.0, 5.0]},
        errors=_OF_INFERENCE,
    ),
    TensorFlowServing.classify: Operation(
        answers.ClassifyAnswer, ExamplesRequest, example=_EXAMPLES, errors=_OF_INFERENCE
    ),
    TensorFlowServing.regress: Operation(
        answers.RegressAnswer, ExamplesRequest, example=_EXAMPLES, errors=_OF_INFERENCE
    ),
    TensorFlowServing.metadata: Operation(answers.ServingMetadata, errors=_OF_MODELS),
    TensorFlowServing.status: Operation(answers.ModelStatus, errors=(400, 404)),
}


def protocol(routes: Sequence[Route]) -> Protocol:
    """The protocol as OpenAPI describes it."""
    patterns = {"model": MODEL_NAME.pattern, "version": "[0-9]{1,19}", "label": MODEL_NAME.pattern}
    return Protocol("TensorFlow Serving REST v1", routes, OPERATIONS, patterns)

"""Open Inference Protocol v2 over HTTP: the routes below /v2.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import re
from importlib.metadata import version as distribution_version
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlbuffet.errors import InvalidInput
from mlbuffet.model import Model
from mlbuffet.repository import ModelRepository, ModelVersion
from mlbuffet.server.errors import error_response
from mlbuffet.server.open_inference_codec import decode_request, encode_response, tensor_metadata

EXTENSIONS: list[str] = []
"""The extensions of the protocol that are implemented, as server metadata lists them."""

_VERSION = re.compile(r"[1-9][0-9]{0,17}")


def routes(repository: ModelRepository) -> list[Route]:
    """The routes of the protocol for the models of ``repository``."""
    endpoints = OpenInference(repository)
    found = [
        Route("/v2", endpoints.server_metadata),
        Route("/v2/", endpoints.server_metadata),
        Route("/v2/health/live", endpoints.live),
        Route("/v2/health/ready", endpoints.ready),
    ]
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            Route(model, endpoints.model_metadata),
            Route(f"{model}/ready", endpoints.model_ready),
            Route(f"{model}/infer", endpoints.infer, methods=["POST"]),
        ]
    return found


class OpenInference:
    """The endpoints, over one repository."""

    def __init__(self, repository: ModelRepository) -> None:
        self._repository = repository
        self._server = {"name": "mlbuffet", "version": distribution_version("mlbuffet"), "extensions": EXTENSIONS}

    async def server_metadata(self, request: Request) -> Response:
        """Name, version and extensions of the server."""
        return _json(self._server)

    async def live(self, request: Request) -> Response:
        """200 as soon as the server answers at all."""
        return _json({"live": True})

    async def ready(self, request: Request) -> Response:
        """200 once the loading of every model has been attempted."""
        if not self._repository.attempted:
            return error_response(503, "models are being loaded")
        return _json({"ready": True, "live": True})

    async def model_metadata(self, request: Request) -> Response:
        """The tensors of the default signature; all signatures, as JSON, among the properties."""
        version = self._version(request)
        return _json(_metadata(version, version.model, self._repository.ready_versions(version.name)))

    async def model_ready(self, request: Request) -> Response:
        """200 where the model answers, 503 with the reason where it does not."""
        version = self._version(request)
        assert version.model
        return _json({"name": version.name, "ready": True})

    async def infer(self, request: Request) -> Response:
        """Run a model on the tensors of the body."""
        version = self._version(request)
        model = version.model
        call = decode_request(await request.body())
        outputs = await run_in_threadpool(model.predict, call.inputs, signature=call.signature, outputs=call.outputs)
        return Response(encode_response(call, version.name, version.version, outputs), media_type="application/json")

    def _version(self, request: Request) -> ModelVersion:
        asked = request.path_params.get("version")
        if asked is not None and _VERSION.fullmatch(asked) is None:
            raise InvalidInput(f"{asked!r} is not a version; versions are whole numbers from 1")
        return self._repository.get(request.path_params["model"], None if asked is None else int(asked))


def _metadata(version: ModelVersion, model: Model, ready: list[int]) -> dict[str, Any]:
    signatures = {
        name: {
            "method": signature.method,
            "inputs": tensor_metadata(signature.inputs),
            "outputs": tensor_metadata(signature.outputs),
        }
        for name, signature in model.signatures.items()
    }
    default = model.signatures.default
    shown = signatures[default] if default is not None else {"inputs": [], "outputs": []}
    return {
        "name": version.name,
        "versions": [str(number) for number in ready],
        "platform": model.runtime.platform,
        "inputs": shown["inputs"],
        "outputs": shown["outputs"],
        "properties": {
            "signatures": orjson.dumps(signatures).decode(),
            **({"default_signature": default} if default is not None else {}),
        },
    }


def _json(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")

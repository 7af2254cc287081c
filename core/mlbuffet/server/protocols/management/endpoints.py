"""The endpoints below /api/v1, and those that describe the server."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from mlbuffet.errors import ModelNotFound, NotChangeable
from mlbuffet.inference import InferenceService
from mlbuffet.json_tensors.text import decode
from mlbuffet.repository import ModelRepository, Provenance, Publisher, Upload
from mlbuffet.repository.configuration import Number
from mlbuffet.repository.reading import Readers
from mlbuffet.server.http.body import read_body
from mlbuffet.server.http.change_guard import check_change
from mlbuffet.server.http.errors import json_response
from mlbuffet.server.http.prediction import PredictionEndpoint
from mlbuffet.server.protocols.management import answers
from mlbuffet.server.protocols.management.downloads import Download
from mlbuffet.server.protocols.management.information import model_information
from mlbuffet.server.protocols.management.prediction import ValuesCodec
from mlbuffet.server.protocols.management.uploads import receive_file, receive_form
from mlbuffet.server.settings import ServerSettings

PUBLISHING = 8
"""How many uploads are published at the same time; the others wait without occupying a thread."""
OTHER_CHANGES = 8


class DefaultRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which version is to be the default."""

    default: Number


class SharedRoute(Route):
    """One of several routes of a path, each for one method; its error 405 lists the methods of all of them."""

    def __init__(self, path: str, endpoint: Callable[..., Any], method: str, allowed: Sequence[str]) -> None:
        super().__init__(path, endpoint, methods=[method])
        self._allowed = ", ".join(allowed)

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405, headers={"Allow": self._allowed})
        await super().handle(scope, receive, send)


def routes(
    service: InferenceService,
    settings: ServerSettings,
    repository: ModelRepository | None,
    publisher: Publisher | None = None,
) -> list[Route]:
    """The routes of the API for the models of ``repository``, which ``publisher`` changes, if there is one."""
    return Management(service, settings, repository, publisher).routes


class Management:
    """The endpoints, over one service and the files of its models."""

    def __init__(
        self,
        service: InferenceService,
        settings: ServerSettings,
        repository: ModelRepository | None,
        publisher: Publisher | None,
    ) -> None:
        self._service = service
        self._codec = ValuesCodec()
        self._predict = PredictionEndpoint(service, self._codec, settings)
        self._repository = repository
        self._settings = settings
        self._publisher = publisher
        self._readers = publisher.readers if publisher else Readers()
        self._publishing = CapacityLimiter(PUBLISHING)
        self._changing = CapacityLimiter(OTHER_CHANGES)
        model, version = "/api/v1/models/{name}", "/api/v1/models/{tag}"
        methods = {"GET": self.download_model, "POST": self.upload, "PUT": self.upload_raw, "DELETE": self.remove}
        self.routes = [
            Route("/", self.welcome),
            Route("/help", self.help),
            Route("/api/test", self.test),
            Route("/api/v1/models", self.models),
            Route(f"{model}/information", self.information),
            Route(f"{model}/default", self.choose, methods=["POST"]),
            Route(f"{version}/download", self.download),
            Route(f"{version}/prediction", self.predict, methods=["POST"]),
            *(SharedRoute(version, endpoint, method, ["HEAD", *methods]) for method, endpoint in methods.items()),
        ]

    @property
    def _files(self) -> ModelRepository:
        """The models on disk. Raises `NotChangeable` where they are those of another service."""
        if self._repository is None:
            raise NotChangeable("this server has no files of its models: another service has them")
        return self._repository

    async def welcome(self, request: Request) -> Response:
        """That this is MLBuffet, and that it is alive."""
        description = "MLBuffet serves trained models; /help lists what it answers, /docs describes it"
        return answers.response(description, status="alive")

    async def test(self, request: Request) -> Response:
        """That the API answers."""
        return answers.response("the API answers")

    async def help(self, request: Request) -> Response:
        """What this API answers, as text."""
        lines = []
        for route in self.routes:
            methods = " ".join(sorted((route.methods or set()) - {"HEAD"}))
            lines.append(f"{methods:7}{route.path:40}{(route.endpoint.__doc__ or '').partition('.')[0]}\n")
        return PlainTextResponse("".join(lines))

    async def models(self, request: Request) -> Response:
        """The names of all models."""
        names = sorted({version.model for version in self._service.versions()})
        return answers.response(f"{len(names)} models", model_list=names)

    async def information(self, request: Request) -> Response:
        """All versions of a model that are on disk, and which is the default."""
        return json_response(await run_sync(model_information, self._files, request.path_params["name"]))

    async def predict(self, request: Request) -> Response:
        """Run a model on values, or on an image in a form, by its default signature."""
        return await self._predict.answer(request)

    async def download(self, request: Request) -> Response:
        """The file of a version, or a zip of all its files."""
        selector = self._codec.selector(request)
        name, stored = selector.model, self._files.stored_version(selector.model, selector.version)
        try:
            return await run_sync(Download, self._readers.reading(stored), f"{name}-{stored.version}")
        except FileNotFoundError:
            raise ModelNotFound(name, stored.version) from None

    async def download_model(self, request: Request) -> Response:
        """The same as with /download."""
        return await self.download(request)

    async def upload(self, request: Request) -> Response:
        """Add a version, which becomes the default, from a form: the file of a model, or a zip of its folder."""
        return await self._upload(request, receive_form)

    async def upload_raw(self, request: Request) -> Response:
        """Add a version, which becomes the default, from the body as it is; the query says the file's name."""
        return await self._upload(request, receive_file)

    async def choose(self, request: Request) -> Response:
        """Make a version the default, such as an older one."""
        publisher = self._may_change(request)
        name = request.path_params["name"]
        version = decode(await read_body(request, self._settings), DefaultRequest).default
        await run_sync(publisher.choose, name, version, limiter=self._changing)
        return answers.response(f"version {version} of the model {name!r} is the default", version=version)

    async def remove(self, request: Request) -> Response:
        """Remove a version; if it was the default, the next latest becomes it."""
        publisher = self._may_change(request)
        selector = self._codec.selector(request)
        name = selector.model
        version = await run_sync(publisher.remove, name, selector.version, limiter=self._changing)
        return answers.response(f"version {version} of the model {name!r} was removed", version=version)

    async def _upload(
        self, request: Request, receive: Callable[[Request, Upload, ServerSettings], Awaitable[Provenance]]
    ) -> Response:
        publisher = self._may_change(request)
        name = request.path_params["tag"]
        upload = await run_sync(publisher.receive, name, self._settings.max_upload)
        try:
            provenance = await receive(request, upload, self._settings)
            version = await run_sync(publisher.publish, name, upload, provenance, limiter=self._publishing)
        finally:
            with CancelScope(shield=True):
                await run_sync(upload.discard)
        description = f"version {version} of the model {name!r} was added, and is the default"
        return answers.response(description, 201, version=version)

    def _may_change(self, request: Request) -> Publisher:
        check_change(request, self._settings)
        if self._publisher is None:
            raise NotChangeable("this server has no folder to keep models in: start it with a folder of models")
        return self._publisher

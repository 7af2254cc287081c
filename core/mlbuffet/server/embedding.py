"""The application that serves the models at some places, for any ASGI server and inside other applications."""

import os
from collections.abc import Mapping, Sequence
from typing import TypedDict

from starlette.applications import Starlette
from typing_extensions import Unpack

from mlbuffet.repository import RepositoryOptions, RepositorySettings, ServedPlaces
from mlbuffet.repository.settings import check_names, settings_of
from mlbuffet.repository.upload_policy import UploadPolicy
from mlbuffet.runtimes import Runtimes, installed_runtimes
from mlbuffet.server import application
from mlbuffet.server.settings import ServerSettings


class _ServerOptions(TypedDict, total=False):
    """The fields of `ServerSettings` but for those that are the business of the process: of the ASGI server."""

    max_body: int
    body_seconds: float
    body_idle_seconds: float
    request_timeout: float | None
    max_upload: int
    load_first: bool
    allow_changes: bool
    admin_token: str | None
    predict_token: str | None
    cors_origins: Sequence[str]
    upload_policy: UploadPolicy | None
    read_only: bool
    strict_readiness: bool
    fast_path: bool
    access_log: bool


class ApplicationOptions(RepositoryOptions, _ServerOptions, total=False):
    """The keywords of `create_app`: the fields of `RepositorySettings` and of `ServerSettings`."""


def application_settings(
    function: str, options: Mapping[str, object], *, strict: bool = True
) -> tuple[RepositorySettings, ServerSettings]:
    """The keywords of ``function`` as settings; without ``strict`` numbers and booleans may be text.

    Raises ``TypeError`` for a setting that there is not, ``ValueError`` for a value that it cannot have.
    """
    check_names(function, options, ApplicationOptions.__annotations__)
    for_models = {name: value for name, value in options.items() if name in RepositoryOptions.__annotations__}
    for_server = {name: value for name, value in options.items() if name not in for_models}
    server = ServerSettings(**settings_of(_ServerOptions, function, for_server, strict=strict))
    return settings_of(RepositorySettings, function, for_models, strict=strict), server


def is_changeable(settings: ServerSettings) -> bool:
    """Whether clients may change what is served."""
    return not settings.read_only and (settings.allow_changes or settings.admin_token is not None)


def create_app(
    place: str | os.PathLike[str],
    /,
    *places: str | os.PathLike[str],
    runtimes: Runtimes | None = None,
    **settings: Unpack[ApplicationOptions],
) -> Starlette:
    """An ASGI application that answers as ``mlbuffet serve PLACE...`` does.

    A place is a folder of models, a model, or the URL of a folder. They are looked through now; models are loaded when
    the application starts: with its lifespan or, where nobody runs that, at its first request. ``runtimes`` are those
    to choose from, without it those installed. ``settings`` are described in `RepositorySettings` and
    `ServerSettings`; sizes are in bytes, times in seconds.

    Raises `ArtifactNotFound`, `ArtifactUnreadable`, `NoModels`, `DuplicateModel`, `UnknownRuntime` or `RemoteFailed`;
    ``TypeError`` for a setting that there is not, ``ValueError`` for a value that it cannot have.
    """
    for_models, server = application_settings("create_app()", settings)
    changeable = is_changeable(server)
    served = ServedPlaces(
        [place, *places],
        installed_runtimes() if runtimes is None else runtimes,
        for_models,
        may_be_empty=changeable,
        timeout=server.request_timeout,
    )
    publisher = served.publisher(server.policy_of_uploads) if changeable else None
    return application.create_app(
        served.repository, server, publisher, on_loaded=served.follow, on_stop=served.unfollow
    )

"""Which model, and which version of it, an address below /v1 means."""

import re
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from mlbuffet.errors import InvalidInput, ModelNotFound
from mlbuffet.repository import ModelRepository, ModelVersion
from mlbuffet.version_numbers import version_number

MODEL_ADDRESSES = (
    "/v1/models/{model}",
    "/v1/models/{model}/versions/{version}",
    "/v1/models/{model}/labels/{label}",
)

_DIGITS = re.compile(r"[0-9]+")


class AnyCaseRoute(Route):
    """A route whose path may be written in capitals; names in it are taken as they are."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)


def malformed(request: Request) -> HTTPException:
    """The answer to whatever is no address of the protocol."""
    return HTTPException(400, f"Malformed request: {request.method} {request.url.path}")


def find_version(repository: ModelRepository, request: Request) -> ModelVersion:
    """The version that answers a prediction. Raises `HTTPException` or `InvalidInput`."""
    name, number = _name_and_number(repository, request)
    try:
        return repository.get(name, number)
    except ModelNotFound:
        asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        raise HTTPException(404, f"Servable not found for request: {asked}") from None


def find_versions(repository: ModelRepository, request: Request) -> list[ModelVersion]:
    """The versions whose states are asked for: the one named, or all, the newest first.

    Raises `HTTPException` or `InvalidInput`.
    """
    name, number = _name_and_number(repository, request)
    try:
        return repository.versions(name)[::-1] if number is None else [repository.get(name, number)]
    except ModelNotFound:
        asked = f"any versions of model {name}" if number is None else f"version {number} of model {name}"
        raise HTTPException(404, f"Could not find {asked}") from None


def _name_and_number(repository: ModelRepository, request: Request) -> tuple[str, int | None]:
    """The model's name and the version; ``None`` is the default, for which ovmsclient sends 0."""
    parameters = request.path_params
    if ":" in parameters["model"]:
        raise malformed(request)
    if "label" in parameters:
        return parameters["model"], _labelled(repository, parameters["model"], parameters["label"])
    if "version" not in parameters:
        return parameters["model"], None
    if _DIGITS.fullmatch(parameters["version"]) is None:
        raise malformed(request)
    number = version_number(parameters["version"])
    if number is None:
        raise InvalidInput(f"Failed to convert version: {parameters['version'].lstrip('0')} to numeric.")
    return parameters["model"], number if number or _has_version_0(repository, parameters["model"]) else None


def _has_version_0(repository: ModelRepository, name: str) -> bool:
    try:
        return repository.get(name, 0).version == 0
    except ModelNotFound:
        return False


def _labelled(repository: ModelRepository, name: str, label: str) -> int:
    """The number behind a label. TensorFlow Serving tells an unknown label apart from an unknown model by no status."""
    with suppress(ModelNotFound):
        if (version := repository.labelled(name, label)) is not None:
            return version.version
    raise InvalidInput(f"Unrecognized servable version label: {label}")

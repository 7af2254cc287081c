"""The model and the version that an address below /v1 means."""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from mlbuffet.errors import InvalidInput, ModelNotFound
from mlbuffet.inference import InferenceService, ModelSelector, VersionStatus
from mlbuffet.version_numbers import version_number


class AnyCaseRoute(Route):
    """A route whose path matches in lower and upper case; the names in it keep theirs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)


def malformed(request: Request) -> HTTPException:
    """The error for what is not an address of the protocol."""
    return HTTPException(400, f"Malformed request: {request.method} {request.url.path}")


def selector_of(request: Request) -> ModelSelector:
    """The model and the version of an address; ovmsclient sends version 0 for the default.

    Raises `HTTPException` or `InvalidInput`.
    """
    parameters = request.path_params
    name = parameters["model"]
    if ":" in name:
        raise malformed(request)
    if "label" in parameters:
        return ModelSelector(name, label=parameters["label"])
    if "version" not in parameters:
        return ModelSelector(name)
    if re.fullmatch("[0-9]+", parameters["version"]) is None:
        raise malformed(request)
    number = version_number(parameters["version"])
    if number is None:
        raise InvalidInput(f"Failed to convert version: {parameters['version'].lstrip('0')} to numeric.")
    return ModelSelector(name, number, or_default=not number)


def no_servable(selector: ModelSelector) -> Exception:
    """What is raised where there is no such version for a prediction."""
    if selector.label is not None:
        return _no_label(selector.label)
    latest = selector.version is None or selector.or_default
    wanted = f"Latest({selector.model})" if latest else f"Specific({selector.model}, {selector.version})"
    return HTTPException(404, f"Servable not found for request: {wanted}")


def find_versions(service: InferenceService, selector: ModelSelector) -> Sequence[VersionStatus]:
    """The version named by ``selector``, or all versions, the newest first.

    Raises `HTTPException` or `InvalidInput`.
    """
    name, number = selector.model, selector.version
    if selector.label is not None:
        try:
            return [service.status(selector)]
        except ModelNotFound:
            raise _no_label(selector.label) from None
    with suppress(ModelNotFound):
        versions = service.versions(name)[::-1]
        found = versions if number is None else [one for one in versions if one.version == number]
        if found or selector.or_default:
            return found or versions
    latest = number is None or selector.or_default
    wanted = f"any versions of model {name}" if latest else f"version {number} of model {name}"
    raise HTTPException(404, f"Could not find {wanted}")


def _no_label(label: str) -> InvalidInput:
    """For an unknown label and for an unknown model alike, as in TensorFlow Serving."""
    return InvalidInput(f"Unrecognized servable version label: {label}")

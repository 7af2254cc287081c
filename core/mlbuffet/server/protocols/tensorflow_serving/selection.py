"""Which versions a request means, as TensorFlow Serving finds them."""

from collections.abc import Sequence
from contextlib import suppress

from mlbuffet.errors import InvalidInput, ModelNotFound
from mlbuffet.inference import InferenceService, ModelSelector, VersionStatus


def unknown_label(label: str) -> InvalidInput:
    """The error for an unknown label, and for a label of an unknown model, as in TensorFlow Serving."""
    return InvalidInput(f"Unrecognized servable version label: {label}")


def find_versions(service: InferenceService, selector: ModelSelector) -> Sequence[VersionStatus]:
    """The version that ``selector`` names, or all versions, the newest first; none where there are none.

    Raises `InvalidInput` for an unknown label.
    """
    if selector.label is not None:
        try:
            return [service.status(selector)]
        except ModelNotFound:
            raise unknown_label(selector.label) from None
    with suppress(ModelNotFound):
        versions = service.versions(selector.model)[::-1]
        number = selector.version
        found = versions if number is None else [one for one in versions if one.version == number]
        if found or selector.or_default:
            return found or versions
    return []

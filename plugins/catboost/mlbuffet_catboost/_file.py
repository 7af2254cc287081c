"""What the first bytes of a file say about a CatBoost model in it."""

import json
import re
from pathlib import Path

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import first_bytes

_BINARY = b"CBM1"
_JSON = re.compile(
    rb'\s*\{\s*(?:"features_info"\s*:\s*\{\s*"(?:categorical_features|ctrs|embedding_features|float_features|text_features)"'
    rb'|"ctr_data"\s*:\s*\{\s*"\{\\"identifier\\")'
)
_KEYS = {"features_info", "model_info", "scale_and_bias"}
_FORMATS = {".cbm": "cbm", ".json": "json"}


def format_of(path: Path) -> str | None:
    """CatBoost's name of the format of the model in ``path``; ``None`` where there is no model."""
    named = _FORMATS.get(path.suffix.lower())
    return named if named is not None and named == _format(first_bytes(path)) else None


def unservable(path: Path) -> str | None:
    """Why ``path``, which is CatBoost's, cannot be served; ``None`` for models, and for what is not CatBoost's."""
    if not path.is_file() or format_of(path):
        return None
    if actual := _format(first_bytes(path)):
        return f"it is a CatBoost model under another name: rename it so that it ends in .{actual}"
    damaged = "the .cbm file is empty or damaged: it does not begin as a CatBoost model does; save the model again"
    return damaged if path.suffix.lower() == ".cbm" else None


def readable_format(path: Path) -> str:
    """The format to read ``path`` in, or `LoadFailed`: of JSON that is not whole CatBoost crashes, or loads a part."""
    form = _format(first_bytes(path)) or "json"
    try:
        if form == "cbm" or _KEYS.issubset(json.loads(path.read_bytes()).keys()):
            return form
    except (ValueError, AttributeError):
        pass
    raise LoadFailed("it is cut short or damaged; copy it again, or save the model again")


def _format(head: bytes) -> str | None:
    if head.startswith(_BINARY):
        return "cbm"
    return "json" if _JSON.match(head) else None

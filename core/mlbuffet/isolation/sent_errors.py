"""Errors as plain data for another process, and back: with their type, their text, their facts and their causes."""

import builtins
import os
import traceback
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlbuffet import errors
from mlbuffet.errors import MLBuffetError

_CAUSES = 8
_TRACEBACK = 8000
"""How many characters of the end of a traceback are sent."""


def sent(error: BaseException, causes: int = _CAUSES) -> dict[str, Any]:
    """``error`` as values that msgpack has; facts that are no such values are left out."""
    cause = error.__cause__
    facts = {name: _plain(value) for name, value in vars(error).items() if name != "__notes__" and _is_plain(value)}
    return {
        "type": _known_type(error),
        "name": type(error).__name__,
        "text": _text(error),
        "arguments": [_plain(one) for one in error.args] if all(map(_is_plain, error.args)) else [_text(error)],
        "facts": facts,
        "cause": sent(cause, causes - 1) if cause is not None and causes else None,
        "traceback": "".join(traceback.format_exception(error))[-_TRACEBACK:] if causes == _CAUSES else "",
    }


def received(error: Mapping[str, Any]) -> Exception:
    """The error that was sent: of MLBuffet's errors the same, of others one with the same name and text."""
    kind = getattr(errors, error["type"], None)
    made: Exception
    if isinstance(kind, type) and issubclass(kind, MLBuffetError):
        made = kind.__new__(kind, *map(_value, error["arguments"]))
        vars(made).update({name: _value(value) for name, value in error["facts"].items()})
    else:
        arguments = error["arguments"] if issubclass(_base(error["type"]), OSError) else [error["text"]]
        made = _of_others(error["name"], error["type"])(*map(_value, arguments))
        vars(made)["text"] = error["text"]
    if error["cause"] is not None:
        made.__cause__ = received(error["cause"])
    if error["traceback"]:
        made.add_note(f"In the process of the model:\n{error['traceback']}")
    return made


def _known_type(error: BaseException) -> str:
    """The name of the nearest type that the other process has for certain."""
    for kind in type(error).__mro__:
        if kind.__module__ in (errors.__name__, builtins.__name__):
            return kind.__name__
    return "Exception"


def _base(name: str) -> type[Exception]:
    kind = getattr(builtins, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, OSError | MemoryError) else Exception


@lru_cache(maxsize=64)
def _of_others(name: str, known: str) -> type[Exception]:
    """A type with the name of one that may not be here."""
    return type(name, (_base(known),), {"__str__": lambda self: self.text})


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 an author's __str__
        return f"its text cannot be made: {type(failure).__name__}"


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(type(name) is str and _is_plain(one) for name, one in value.items())
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return value is None or type(value) in (bool, float, str) or isinstance(value, Path)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return {"path": os.fsencode(value)}
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {"mapping": {name: _plain(one) for name, one in value.items()}}
    return value


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return Path(os.fsdecode(value["path"])) if "path" in value else _value_of_mapping(value["mapping"])
    return tuple(map(_value, value)) if isinstance(value, list) else value


def _value_of_mapping(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in mapping.items()}

"""The options of the runtime."""

from typing import Literal

import msgspec


class Options(msgspec.Struct, frozen=True):
    """What may be chosen when a model is loaded."""

    trusted: tuple[str, ...] = ()
    """Types and functions that the file may hold besides those that skops trusts, by their full names."""
    dtypes: dict[str, Literal["text", "float64", "float32", "int64", "bool"]] = {}
    """What columns hold of which the model does not say it."""

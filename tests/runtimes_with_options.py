"""Runtimes that differ in the options that they have, and show in their outputs what they were given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mlbuffet import InvalidOptions, Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl


class ScaleOptions(msgspec.Struct, frozen=True):
    factor: float = 1.0
    library: str | None = None


@dataclass(frozen=True)
class ShiftOptions:
    offset: float = 0.0


class Scale:
    """y = x * factor, from a .scale file; ``library`` is for whoever owns the machine."""

    options: type | None = ScaleOptions
    client_options = frozenset({"factor"})
    suffix = ".scale"

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A file with its suffix."""
        return path.suffix == self.suffix

    @hookimpl
    def load(self, path: Path, options: Any) -> Any:
        return options

    @hookimpl
    def signature(self, model: Any) -> Signatures:
        x, y = (TensorSpec(name, np.float64, (None,)) for name in "xy")
        return Signatures({"serving_default": Signature([x], [y])})

    @hookimpl
    def predict(self, model: ScaleOptions, inputs: Tensors) -> Tensors:
        return {"y": inputs["x"] * model.factor}


class Shift(Scale):
    """y = x + offset; no option is for clients."""

    options = ShiftOptions
    client_options = frozenset[str]()
    suffix = ".shift"

    @hookimpl
    def predict(self, model: Any, inputs: Tensors) -> Tensors:
        return {"y": inputs["x"] + model.offset}


class Silent(Scale):
    """As ``Scale``, and does not say which options it has."""

    options = None
    client_options = frozenset[str]()
    suffix = ".silent"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> ScaleOptions:
        if unknown := options.keys() - {"factor"}:
            raise InvalidOptions(f"there is no {', '.join(unknown)}", ["factor"])
        return ScaleOptions(**options)


def runtimes_with_options() -> Runtimes:
    """All of them."""
    runtimes = Runtimes()
    for kind in (Scale, Shift, Silent):
        runtimes.register(kind, name=kind.__name__.lower())
    return runtimes

"""Runtimes that differ in the options that they have, and show in their outputs what they were given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlbuffet import InvalidOptions, Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl


class Scale:
    """y = x * factor, from a .scale file; ``library`` is for whoever owns the machine."""

    client_options = frozenset({"factor"})
    load_options = client_options | {"library"}
    suffix = ".scale"

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A file with its suffix."""
        return path.suffix == self.suffix

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        if unknown := options.keys() - self.names():
            raise InvalidOptions(f"there is no {', '.join(unknown)}", sorted(self.names()))
        if isinstance(options.get("factor"), str):
            raise InvalidOptions("factor is no number", sorted(self.names()))
        return dict(options)

    @hookimpl
    def signature(self, model: Any) -> Signatures:
        x, y = (TensorSpec(name, np.float64, (None,)) for name in "xy")
        return Signatures({"serving_default": Signature([x], [y])})

    @hookimpl
    def predict(self, model: dict[str, Any], inputs: Tensors) -> Tensors:
        return {"y": inputs["x"] * model.get("factor", 1)}

    def names(self) -> frozenset[str]:
        return self.load_options


class Shift(Scale):
    """y = x + offset; no option is for clients."""

    client_options = frozenset[str]()
    load_options = frozenset({"offset"})
    suffix = ".shift"

    @hookimpl
    def predict(self, model: dict[str, Any], inputs: Tensors) -> Tensors:
        return {"y": inputs["x"] + model.get("offset", 0)}


class Silent(Scale):
    """As ``Scale``, and does not say which options it has."""

    load_options = client_options = frozenset[str]()
    suffix = ".silent"

    def names(self) -> frozenset[str]:
        return frozenset({"factor"})


def runtimes_with_options() -> Runtimes:
    """All of them."""
    runtimes = Runtimes()
    for kind in (Scale, Shift, Silent):
        runtimes.register(kind, name=kind.__name__.lower())
    return runtimes

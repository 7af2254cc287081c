"""What is said about the runtime for a model, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

from mlbuffet.errors import MLBuffetError


@dataclass(frozen=True, slots=True)
class Preference:
    """The order in which runtimes are taken where several accept a model; for other models it has no effect.

    ``last_resort`` is the one for what none accepts.
    """

    names: tuple[str, ...]
    last_resort: str | None = None

    @classmethod
    def of(cls, runtime: "Wanted") -> Self | None:
        """What a name, or names, mean for many models: it is taken where it accepts one, or nobody does."""
        match runtime:
            case None | cls():
                return runtime
            case str():
                return cls((runtime,), last_resort=runtime)
        return cls(names_of(runtime))


Wanted: TypeAlias = str | Sequence[str] | Preference | None
"""A name: that runtime, without asking it. Names: the first of these that accepts. ``None``: the only one that does."""


def names_of(wanted: Wanted) -> tuple[str, ...]:
    """The runtimes that are named, the first to be taken first."""
    match wanted:
        case None:
            return ()
        case str():
            return (wanted,)
        case Preference():
            return wanted.names
    return tuple(wanted)


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """Which runtimes accept the artifact at ``path``, and which of them `mlbuffet.load` would take."""

    path: Path
    chosen: str | None
    accepting: tuple[str, ...]
    """Sorted by name, whatever was asked for."""
    refusing: Mapping[str, str]
    """Why each of the others does not, sorted by name: it explains it, fails, is broken, or is not installed; mostly
    it does not say, and the text is empty."""
    error: MLBuffetError | None
    """What `mlbuffet.load` would raise, where none is chosen."""

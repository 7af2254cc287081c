"""A question that a benchmark answers."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from figures import Key
from rounds import Measure


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured."""

    rounds: int
    seconds: int
    """How long a round of load lasts."""
    peers: frozenset[str] | None
    """The other servers that take part, in lower case; None: all."""
    tell: Callable[[str], None]
    """Hears what is being made ready."""


@dataclass
class Field:
    """The contenders that are ready to be measured, and those that could not be made so."""

    measures: dict[Key, Measure] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is compared, in which unit; ``prepare`` makes the contenders ready and cleans up after them."""

    name: str
    title: str
    unit: str
    prepare: Callable[[Plan], AbstractContextManager[Field]]
    quick: bool = False
    """Whether ``QUICK=1`` measures it."""
    rounds: int | None = None
    """At most so many rounds, where one takes long."""

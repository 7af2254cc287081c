"""What was measured, as facts: figures of contenders, round by round."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Round = Mapping[str, float]
"""What one round of one contender gave, by what it is: ``{"requests/s": 4210.0, "p99 ms": 0.4}``."""


class Key(NamedTuple):
    """Who was measured, and how it was asked."""

    contender: str
    setting: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All rounds of a case. The first contender of a setting is what the others are held against."""

    case: str
    title: str
    unit: str
    """Which figure of a round is compared."""
    rounds: Mapping[Key, Sequence[Round]]
    absent: Mapping[str, str] = field(default_factory=dict)
    """Contenders that could not be measured here, and why."""

    def median(self, key: Key, unit: str | None = None) -> float:
        """The median of one figure over all rounds."""
        return statistics.median(one[unit or self.unit] for one in self.rounds[key])

    def ratio(self, key: Key, other: Key, unit: str | None = None) -> float:
        """The median, over the rounds, of how many times ``other`` the figure of ``key`` is."""
        what = unit or self.unit
        pairs = zip(self.rounds[key], self.rounds[other], strict=True)
        return statistics.median(one[what] / two[what] if two[what] else 1.0 for one, two in pairs)

    def baseline(self, key: Key) -> Key:
        """What ``key`` is held against."""
        return next(other for other in self.rounds if other.setting == key.setting)

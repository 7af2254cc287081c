"""How long calls of a model take."""

from collections.abc import Sequence
from statistics import fmean, pvariance

import msgspec


class ServiceTime(msgspec.Struct, frozen=True):
    """Of calls with so many ``rows``, one after the other: seconds."""

    rows: int
    mean: float
    p50: float
    p99: float
    variation: float
    """The squared coefficient of variation: the variance over the square of the mean; 1 for an exponential one."""

    @classmethod
    def of(cls, rows: int, seconds: Sequence[float]) -> "ServiceTime":
        """What was measured of at least one call."""
        mean = fmean(seconds)
        return cls(
            rows=rows,
            mean=mean,
            p50=quantile(seconds, 0.5),
            p99=quantile(seconds, 0.99),
            variation=pvariance(seconds, mean) / mean**2,
        )

    @property
    def rows_per_second(self) -> float:
        """The most that one process answers."""
        return self.rows / self.mean


def quantile(values: Sequence[float], part: float) -> float:
    """The least value that at least ``part`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-part * len(ordered) // 1) - 1))]

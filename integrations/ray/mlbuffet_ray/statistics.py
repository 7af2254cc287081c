"""The sums of what several processes have counted."""

from collections.abc import Iterable, Mapping

from mlbuffet.telemetry.version_statistics import RunCounts, VersionCounts

Counts = Mapping[tuple[str, int], VersionCounts]


def added(several: Iterable[Counts]) -> Counts:
    """By model and version, the counts of all."""
    found: dict[tuple[str, int], VersionCounts] = {}
    for counts in several:
        for version, one in counts.items():
            found[version] = _sum(found[version], one) if version in found else one
    return found


def _sum(one: VersionCounts, other: VersionCounts) -> VersionCounts:
    runs = dict(one.runs)
    for rows, count in other.runs.items():
        runs[rows] = RunCounts(*(a + b for a, b in zip(runs.get(rows, RunCounts()), count, strict=True)))
    last = max(one.last_inference, other.last_inference)
    return VersionCounts(runs, last, *(a + b for a, b in zip(one[2:], other[2:], strict=True)))

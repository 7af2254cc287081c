"""What processes have counted, and the sum of it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from operator import add
from typing import TypeAlias, TypeVar

import msgspec

from mlbuffet.repository import State
from mlbuffet.telemetry.request_counters import Subject
from mlbuffet.telemetry.totals import added_statistics
from mlbuffet.telemetry.version_statistics import ModelStatistics

K = TypeVar("K")
V = TypeVar("V")

Version: TypeAlias = tuple[str, int]
"""A model's name and the number of its version."""


class RequestCounts(msgspec.Struct):
    """The requests of one subject, as `Tally` counts them."""

    statuses: dict[int, int]
    buckets: list[int]
    seconds: float


class Present(msgspec.Struct, kw_only=True):
    """What is so at this moment in processes that live."""

    processes: dict[int, bool]
    """By its id, whether a process said all this when it was asked, or else is silent, and said it before."""
    states: dict[State, int] = {}
    waiting: dict[Version, int] = {}
    running: dict[Version, int] = {}
    load_seconds: dict[Version, float] = {}
    cache_bytes: int = 0
    cache_entries: int = 0
    redis_up: bool | None = None
    """Whether Redis answers all of them; ``None`` where there is none."""


class Counts(msgspec.Struct, kw_only=True):
    """What only grows, which stays counted when a process has ended; and of one that lives, what is present."""

    requests: dict[Subject, RequestCounts] = {}
    loads: dict[tuple[str, int, State], int] = {}
    batches: dict[Version, dict[int, int]] = {}
    """By version, how many batches there were, by their rows."""
    cache_hits: dict[str, int] = {}
    cache_misses: dict[str, int] = {}
    statistics: dict[Version, ModelStatistics] = {}
    processor_seconds: float = 0.0
    present: Present | None = None

    def past(self) -> "Counts":
        """What is left of it when the process has ended."""
        return msgspec.structs.replace(self, present=None)

    def silent(self) -> "Counts":
        """What a process had told that lives, and does not answer."""
        if self.present is None:
            return self
        processes = dict.fromkeys(self.present.processes, False)
        return msgspec.structs.replace(self, present=msgspec.structs.replace(self.present, processes=processes))

    def of(self, versions: Collection[Version]) -> "Counts":
        """Without what was counted of other versions."""
        models = {name for name, _ in versions}
        return msgspec.structs.replace(
            self,
            requests={key: value for key, value in self.requests.items() if not key[1] or key[1:] in versions},
            loads={key: value for key, value in self.loads.items() if key[:2] in versions},
            batches={key: value for key, value in self.batches.items() if key in versions},
            cache_hits={key: value for key, value in self.cache_hits.items() if key in models},
            cache_misses={key: value for key, value in self.cache_misses.items() if key in models},
            statistics={key: value for key, value in self.statistics.items() if key in versions},
        )


def total(parts: Sequence[Counts]) -> Counts:
    """All of them together."""
    if len(parts) == 1:
        return parts[0]
    present = [part.present for part in parts if part.present is not None]
    return Counts(
        requests=_joined((part.requests for part in parts), _added_requests),
        loads=_joined((part.loads for part in parts), add),
        batches=_joined((part.batches for part in parts), _added),
        cache_hits=_joined((part.cache_hits for part in parts), add),
        cache_misses=_joined((part.cache_misses for part in parts), add),
        statistics=_joined((part.statistics for part in parts), added_statistics),
        processor_seconds=sum(part.processor_seconds for part in parts),
        present=_total_present(present) if present else None,
    )


def _total_present(parts: Sequence[Present]) -> Present:
    return Present(
        processes=dict(chain.from_iterable(part.processes.items() for part in parts)),
        states=_joined((part.states for part in parts), add),
        waiting=_joined((part.waiting for part in parts), add),
        running=_joined((part.running for part in parts), add),
        load_seconds=_joined((part.load_seconds for part in parts), max),
        cache_bytes=sum(part.cache_bytes for part in parts),
        cache_entries=sum(part.cache_entries for part in parts),
        redis_up=min((part.redis_up for part in parts if part.redis_up is not None), default=None),
    )


def _joined(parts: Iterable[Mapping[K, V]], join: Callable[[V, V], V]) -> dict[K, V]:
    found: dict[K, V] = {}
    for key, value in chain.from_iterable(part.items() for part in parts):
        found[key] = join(found[key], value) if key in found else value
    return found


def _added(one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
    return _joined((one, other), add)


def _added_requests(one: RequestCounts, other: RequestCounts) -> RequestCounts:
    buckets = [sum(both) for both in zip(one.buckets, other.buckets, strict=True)]
    return RequestCounts(_added(one.statuses, other.statuses), buckets, one.seconds + other.seconds)

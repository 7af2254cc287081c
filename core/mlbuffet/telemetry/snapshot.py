"""What this process has counted, at one moment."""

import os
import time
from collections import Counter
from collections.abc import Mapping

from mlbuffet.repository import ModelRepository, ModelVersion
from mlbuffet.scheduling import Scheduler
from mlbuffet.telemetry.counts import Counts, Present, RequestCounts, Version, total
from mlbuffet.telemetry.load_counters import Loads
from mlbuffet.telemetry.request_counters import Traffic
from mlbuffet.telemetry.version_statistics import VersionStatistics, model_stats


class Census:
    """Taken in any thread, so that requests need not wait for it, while the event loop goes on counting."""

    def __init__(
        self,
        repository: ModelRepository,
        traffic: Traffic,
        loads: Loads,
        statistics: Mapping[Version, VersionStatistics],
        inherited: Counts | None = None,
    ) -> None:
        self._repository = repository
        self._traffic = traffic
        self._loads = loads
        self._statistics = statistics
        self._inherited = inherited or Counts()

    def forget(self) -> None:
        """Drop, on the event loop, what was counted of versions that the repository does not have any more."""
        versions = {(one.name, one.version) for one in self._repository}
        self._traffic.forget(lambda subject: bool(subject[1]) and subject[1:] not in versions)
        self._loads.forget(lambda name, version: (name, version) not in versions)
        self._inherited = self._inherited.of(versions)

    def take(self) -> Counts:
        """All of it, with what was ``inherited`` of processes that have ended."""
        versions = {(one.name, one.version): one for one in self._repository}
        return total([self._own(versions), self._inherited])

    def _own(self, versions: Mapping[Version, ModelVersion]) -> Counts:
        cache, counted = self._repository.cache, self._statistics
        models = {name for name, _ in versions}
        schedulers = {key: scheduler for key, one in versions.items() if (scheduler := one.scheduler) is not None}
        return Counts(
            requests={
                subject: RequestCounts(dict(tally.statuses), list(tally.buckets), tally.seconds)
                for subject, tally in self._traffic.tallies()
            },
            loads=dict(self._loads.counts()),
            batches={key: dict(one.batches) for key, one in schedulers.items() if one.batches},
            cache_hits={model: cache.hits[model] for model in models & cache.hits.keys()},
            cache_misses={model: cache.misses[model] for model in models & cache.misses.keys()},
            statistics={key: model_stats(*key, counted[key]) for key in versions.keys() & counted.keys()},
            processor_seconds=time.process_time(),
            present=self._present(versions, schedulers),
        )

    def _present(self, versions: Mapping[Version, ModelVersion], schedulers: Mapping[Version, Scheduler]) -> Present:
        memory, redis = self._repository.cache.memory, self._repository.cache.redis
        return Present(
            processes={os.getpid(): True},
            states=Counter(one.state for one in versions.values()),
            waiting={key: one.waiting for key, one in schedulers.items()},
            running={key: one.running for key, one in schedulers.items()},
            load_seconds={key: one.seconds for key, one in versions.items() if one.seconds},
            cache_bytes=memory.size,
            cache_entries=len(memory),
            redis_up=None if redis is None else redis.answers,
        )

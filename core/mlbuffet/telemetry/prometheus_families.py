"""Counts in the words of Prometheus."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from mlbuffet.repository import State
from mlbuffet.telemetry.counts import Counts, Present
from mlbuffet.telemetry.process_families import process_families
from mlbuffet.telemetry.request_counters import BOUNDS

_VERSION = ["model", "version"]
_REQUEST = ["protocol", *_VERSION]
_ROWS = [2.0**power for power in range(11)]


class Families(Collector):
    """A collector of prometheus_client.

    Nothing is labelled but with the names of versions that were counted, so that what never was has no series.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        yield from self._requests()
        yield from self._loads()
        yield self._batches()
        yield from self._lookups()
        if (present := self._counts.present) is not None:
            yield from _versions(present)
            yield from _queues(present)
            yield from _kept(present)
            yield _processes(present)
            yield from process_families(list(present.processes), self._counts.processor_seconds)

    def _requests(self) -> Iterator[Metric]:
        name = "mlbuffet_requests"
        count = CounterMetricFamily(name, "Requests by how they ended.", labels=[*_REQUEST, "code"])
        name = "mlbuffet_request_seconds"
        took = HistogramMetricFamily(name, "From the head of a request to the end of its answer.", labels=_REQUEST)
        bounds = [*map(str, BOUNDS), "+Inf"]
        for (protocol, model, version), requests in self._counts.requests.items():
            labels = [protocol, model, str(version) if model else ""]
            for status, number in requests.statuses.items():
                count.add_metric([*labels, str(status)], number)
            took.add_metric(labels, list(zip(bounds, accumulate(requests.buckets), strict=True)), requests.seconds)
        yield from (count, took)

    def _loads(self) -> Iterator[Metric]:
        loads = CounterMetricFamily("mlbuffet_loads", "Loads by how they ended.", labels=[*_VERSION, "state"])
        for (model, version, state), number in self._counts.loads.items():
            loads.add_metric([model, str(version), state.value], number)
        yield loads

    def _batches(self) -> Metric:
        rows = HistogramMetricFamily("mlbuffet_batch_rows", "Rows of the batches taken from queues.", labels=_VERSION)
        for (model, version), batches in self._counts.batches.items():
            buckets = [(str(bound), sum(runs for size, runs in batches.items() if size <= bound)) for bound in _ROWS]
            total = sum(size * runs for size, runs in batches.items())
            rows.add_metric([model, str(version)], [*buckets, ("+Inf", sum(batches.values()))], total)
        return rows

    def _lookups(self) -> Iterator[Metric]:
        for what, counts in {"hits": self._counts.cache_hits, "misses": self._counts.cache_misses}.items():
            found = CounterMetricFamily(f"mlbuffet_cache_{what}", f"Calls that were cache {what}.", labels=["model"])
            for model, number in counts.items():
                found.add_metric([model], number)
            yield found


def _versions(present: Present) -> Iterator[Metric]:
    seconds = GaugeMetricFamily("mlbuffet_load_seconds", "How long the last load took.", labels=_VERSION)
    for (model, version), took in present.load_seconds.items():
        seconds.add_metric([model, str(version)], took)
    found = GaugeMetricFamily("mlbuffet_versions", "Versions by state.", labels=["state"])
    for state in State:
        found.add_metric([state.value], present.states.get(state, 0))
    yield from (seconds, found)


def _queues(present: Present) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("mlbuffet_calls_waiting", "Calls that wait for their turn.", labels=_VERSION)
    running = GaugeMetricFamily("mlbuffet_calls_running", "Calls or batches that run in threads.", labels=_VERSION)
    for family, calls in ((waiting, present.waiting), (running, present.running)):
        for (model, version), number in calls.items():
            family.add_metric([model, str(version)], number)
        yield family


def _kept(present: Present) -> Iterator[Metric]:
    yield GaugeMetricFamily("mlbuffet_cache_bytes", "Answers kept in memory.", value=present.cache_bytes)
    yield GaugeMetricFamily("mlbuffet_cache_entries", "Answers kept in memory.", value=present.cache_entries)
    if present.redis_up is not None:
        yield GaugeMetricFamily("mlbuffet_cache_redis_up", "1 while Redis answers.", value=float(present.redis_up))


def _processes(present: Present) -> Metric:
    workers = GaugeMetricFamily("mlbuffet_workers", "Processes that serve, by how they were asked.", labels=["state"])
    answers = list(present.processes.values())
    for state, number in (("answering", answers.count(True)), ("silent", answers.count(False))):
        workers.add_metric([state], number)
    return workers

"""The server in Prometheus' words: GET /metrics."""

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlbuffet.repository import ModelRepository, State
from mlbuffet.server.loads import Loads
from mlbuffet.server.openapi import Operation, Protocol
from mlbuffet.server.settings import ServerSettings
from mlbuffet.server.traffic import BOUNDS, Traffic

if TYPE_CHECKING:  # imported at the first question: it takes a tenth of a second
    from prometheus_client import CollectorRegistry, Metric

_VERSION = ["model", "version"]
_REQUEST = ["protocol", *_VERSION]
_ROWS = [2.0**power for power in range(11)]


class Metrics:
    """The endpoint; it is a collector of prometheus_client over what the server counts anyway.

    Nothing is labelled but with the names of versions that the repository has, so that what is gone, or never was,
    has no series.
    """

    def __init__(self, repository: ModelRepository, settings: ServerSettings, traffic: Traffic, loads: Loads) -> None:
        self.routes = [Route("/metrics", self.metrics), Route("/monitoring/prometheus/metrics", self.metrics)]
        self._repository = repository
        self._settings = settings
        self._traffic = traffic
        self._loads = loads
        self._cache = repository.cache
        self._registry: CollectorRegistry | None = None

    async def metrics(self, request: Request) -> Response:
        """Counts and durations for Prometheus, also at TensorFlow Serving's address; not of a server with workers."""
        if self._settings.workers > 1:
            raise HTTPException(501, f"each of the {self._settings.workers} processes of this server counts for itself")
        known = {(one.name, one.version) for one in self._repository}
        self._traffic.forget(lambda subject: bool(subject[1]) and subject[1:] not in known)
        self._loads.forget(lambda name, version: (name, version) not in known)
        text, media_type = await run_in_threadpool(self._text, request.headers.get("accept", ""))
        return Response(text, media_type=media_type)

    def collect(self) -> Iterator["Metric"]:
        """All of it."""
        yield from self._requests()
        yield from self._versions()
        yield from self._queues()
        yield from self._kept()

    def _text(self, accept: str) -> tuple[bytes, str]:
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import choose_encoder

        if self._registry is None:
            self._registry = CollectorRegistry()
            self._registry.register(self)
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def _requests(self) -> Iterator["Metric"]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        name = "mlbuffet_requests"
        count = CounterMetricFamily(name, "Requests by how they ended.", labels=[*_REQUEST, "code"])
        name = "mlbuffet_request_seconds"
        took = HistogramMetricFamily(name, "From the head of a request to the end of its answer.", labels=_REQUEST)
        bounds = [*map(str, BOUNDS), "+Inf"]
        for (protocol, model, version), tally in self._traffic.tallies():
            labels = [protocol, model, str(version or "")]
            for status, number in list(tally.statuses.items()):
                count.add_metric([*labels, str(status)], number)
            took.add_metric(labels, list(zip(bounds, accumulate(tally.buckets), strict=True)), tally.seconds)
        yield from (count, took)

    def _versions(self) -> Iterator["Metric"]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        loads = CounterMetricFamily("mlbuffet_loads", "Loads by how they ended.", labels=[*_VERSION, "state"])
        for (model, version, state), number in self._loads.counts():
            loads.add_metric([model, str(version), state.value], number)
        seconds = GaugeMetricFamily("mlbuffet_load_seconds", "How long the last load took.", labels=_VERSION)
        versions = list(self._repository)
        for one in versions:
            if one.seconds:
                seconds.add_metric([one.name, str(one.version)], one.seconds)
        states = Counter(one.state for one in versions)
        found = GaugeMetricFamily("mlbuffet_versions", "Versions by state.", labels=["state"])
        for state in State:
            found.add_metric([state.value], states[state])
        yield from (loads, seconds, found)

    def _queues(self) -> Iterator["Metric"]:
        from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

        waiting = GaugeMetricFamily("mlbuffet_calls_waiting", "Calls that wait for their turn.", labels=_VERSION)
        running = GaugeMetricFamily("mlbuffet_calls_running", "Calls or batches that run in threads.", labels=_VERSION)
        rows = HistogramMetricFamily("mlbuffet_batch_rows", "Rows of the batches taken from queues.", labels=_VERSION)
        for one in self._repository:
            if (scheduler := one.scheduler) is None:
                continue
            labels = [one.name, str(one.version)]
            waiting.add_metric(labels, scheduler.waiting)
            running.add_metric(labels, scheduler.running)
            if batches := dict(scheduler.batches):
                buckets = [
                    (str(bound), sum(runs for size, runs in batches.items() if size <= bound)) for bound in _ROWS
                ]
                total = sum(size * runs for size, runs in batches.items())
                rows.add_metric(labels, [*buckets, ("+Inf", sum(batches.values()))], total)
        yield from (waiting, running, rows)

    def _kept(self) -> Iterator["Metric"]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        names = {one.name for one in self._repository}
        for what, counts in {"hits": self._cache.hits, "misses": self._cache.misses}.items():
            found = CounterMetricFamily(f"mlbuffet_cache_{what}", f"Calls that were cache {what}.", labels=["model"])
            for name in names & counts.keys():
                found.add_metric([name], counts[name])
            yield found
        memory, redis = self._cache.memory, self._cache.redis
        yield GaugeMetricFamily("mlbuffet_cache_bytes", "Answers kept in memory.", value=memory.size)
        yield GaugeMetricFamily("mlbuffet_cache_entries", "Answers kept in memory.", value=len(memory))
        if redis is not None:
            yield GaugeMetricFamily("mlbuffet_cache_redis_up", "1 while Redis answers.", value=float(redis.answers))


def protocol(metrics: Metrics) -> Protocol:
    """The endpoint as OpenAPI describes it."""
    operation = Operation(answer=str, media_type="text/plain", errors=(501,))
    return Protocol("Operations", metrics.routes, {Metrics.metrics: operation}, {})

"""Totals in the words of Prometheus."""

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from mlbuffet.telemetry.metric_names import BOUNDS, COUNTERS, GAUGES, HISTOGRAMS
from mlbuffet.telemetry.process_families import process_families
from mlbuffet.telemetry.totals import Totals


class Families(Collector):
    """A collector of prometheus_client.

    Nothing is labelled but with the names of versions that were counted, so that what never was has no series.
    """

    def __init__(self, totals: Totals) -> None:
        self._numbers = totals.numbers
        self._processes = totals.processes

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        yield from self._histograms()
        for kind, descriptions in ((CounterMetricFamily, COUNTERS), (GaugeMetricFamily, GAUGES)):
            for name, (text, labels) in descriptions.items():
                family = kind(f"mlbuffet_{name}", text, labels=labels)
                for key, (number,) in self._numbers[name].items():
                    family.add_metric(list(map(str, key)), number)
                if labels or family.samples:
                    yield family
        yield self._workers()
        (seconds,) = self._numbers["processor_seconds"][()]
        yield from process_families(self._processes, seconds)

    def _workers(self) -> Metric:
        text = "Processes that serve, by how they were asked."
        workers = GaugeMetricFamily("mlbuffet_workers", text, labels=["state"])
        answers = Counter(self._processes.values())
        for state, number in (("answering", answers[True]), ("silent", answers[False])):
            workers.add_metric([state], number)
        return workers

    def _histograms(self) -> Iterator[Metric]:
        for name, (text, labels) in HISTOGRAMS.items():
            family = HistogramMetricFamily(f"mlbuffet_{name}", text, labels=labels)
            bounds = [*map(str, BOUNDS[name]), "+Inf"]
            for key, (*buckets, total) in self._numbers[name].items():
                family.add_metric(list(map(str, key)), list(zip(bounds, accumulate(buckets), strict=True)), total)
            yield family

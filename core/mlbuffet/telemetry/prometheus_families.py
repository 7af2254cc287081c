"""Totals in the words of Prometheus."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import accumulate

from prometheus_client import Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from mlbuffet.telemetry.metric_names import BOUNDS, COUNTERS, GAUGES, HISTOGRAMS
from mlbuffet.telemetry.totals import Totals

_START = "process_start_time_seconds"
_PROCESSOR = "process_cpu_seconds"


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
        yield from _process_families(self._processes, seconds)

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


def _process_families(processes: Iterable[int], processor_seconds: float) -> Iterator[Metric]:
    """prometheus_client's metrics of processes, summed over ``processes``; none where the system has no /proc.

    The start time is that of the oldest. ``processor_seconds`` include those of processes that have ended.
    """
    found: dict[str, list[Metric]] = defaultdict(list)
    for process in processes:
        for family in ProcessCollector(pid=partial(int, process), registry=None).collect():
            found[family.name].append(family)
    for name, families in found.items():
        values = [family.samples[0].value for family in families]
        joined = {_START: min(values), _PROCESSOR: processor_seconds}.get(name, sum(values))
        families[0].samples[0] = families[0].samples[0]._replace(value=joined)
        yield families[0]

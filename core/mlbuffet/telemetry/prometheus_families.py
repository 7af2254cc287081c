"""Totals in the words of Prometheus."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

from prometheus_client import Metric, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from mlbuffet.telemetry.metric_names import BOUNDS, METRICS
from mlbuffet.telemetry.worker import Totals

_START, _PROCESSOR = "process_start_time_seconds", "process_cpu_seconds"


@dataclass(frozen=True)
class Families(Collector):
    """A collector of prometheus_client.

    Nothing is labelled but with the names of versions that were counted, so that what never was has no series.
    """

    totals: Totals

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        kinds = {"histogram": HistogramMetricFamily, "counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        for name, (kind, text, labels) in METRICS.items():
            family = kinds[kind](f"mlbuffet_{name}", text, labels=labels)
            bounds = [*map(str, BOUNDS.get(name, ())), "+Inf"]
            for key, numbers in self.totals.numbers[name].items():
                value: Sequence[Any] = numbers
                if name in BOUNDS:
                    *buckets, total = numbers
                    value = list(zip(bounds, accumulate(buckets), strict=True)), total
                family.add_metric(list(map(str, key)), *value)
            if labels or family.samples:
                yield family
        yield from self._processes()
        yield from PlatformCollector(registry=None).collect()

    def _processes(self) -> Iterator[Metric]:
        """prometheus_client's metrics of processes, as sums; none where the system has no /proc.

        The start time is that of the oldest. The processor time includes that of processes that have ended.
        """
        (seconds,) = self.totals.numbers["processor_seconds"][()]
        joins: dict[str, Callable[..., float]] = {_START: min, _PROCESSOR: lambda _: seconds}
        collected = [ProcessCollector(pid=partial(int, one), registry=None).collect() for one in self.totals.processes]
        for families in zip(*filter(None, collected), strict=False):  # one may have ended by now
            values = [family.samples[0].value for family in families]
            (sample,) = families[0].samples
            families[0].samples = [sample._replace(value=joins.get(families[0].name, sum)(values))]
            yield families[0]

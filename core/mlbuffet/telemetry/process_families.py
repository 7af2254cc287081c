"""Memory, processor time and open files of several processes, as those of one."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial

from prometheus_client import Metric, ProcessCollector

_START = "process_start_time_seconds"
_PROCESSOR = "process_cpu_seconds"


def process_families(processes: Iterable[int], processor_seconds: float) -> Iterator[Metric]:
    """What prometheus_client tells of each, if it can here, summed; the moment of the start is that of the oldest.

    ``processor_seconds`` are also those of processes that have ended, of which nothing else is left.
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

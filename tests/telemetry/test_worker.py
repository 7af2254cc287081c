"""Workers read what each of them has counted, and none waits for another."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan

import pytest

from mlbuffet.running_calls import file_in_memory
from mlbuffet.telemetry import worker as module
from mlbuffet.telemetry.counter_table import SIZE, CounterTable, Key, WorkerSlot
from mlbuffet.telemetry.worker import PROCESS, Sample, Totals, WorkerTelemetry

OTHER = ("", "", "other", 400)
A = ("a", 1)

WORKER = """
import asyncio, sys
from mlbuffet.telemetry.worker import Sample, WorkerTelemetry
from mlbuffet.telemetry.counter_table import WorkerSlot

async def work():
    sample = Sample([], {("versions", "READY"): 1}, {})
    telemetry = WorkerTelemetry(lambda: sample, WorkerSlot(int(sys.argv[1]), 1, 2))
    telemetry.requests.refuse(400)
    telemetry.start()
    await asyncio.sleep(0.2)
    print("counted", flush=True)
    await asyncio.sleep(60)

asyncio.run(work())
"""


@pytest.fixture
def file() -> Iterator[int]:
    """The memory of two workers."""
    file = file_in_memory("mlbuffet-test")
    os.ftruncate(file, 2 * SIZE)
    yield file
    os.close(file)


def worker(file: int, number: int = 0, measure: Callable[[], Sample] = lambda: Sample([], {}, {})) -> WorkerTelemetry:
    return WorkerTelemetry(measure, WorkerSlot(file, number, 2))


def totals(worker: WorkerTelemetry) -> Totals:
    return asyncio.run(worker.totals())


def requests(worker: WorkerTelemetry) -> float:
    """How many requests all workers have counted, as that worker is told."""
    return sum(totals(worker).numbers["requests"].get(OTHER, [0]))


@contextmanager
def process(file: int) -> Iterator[subprocess.Popen[str]]:
    """A second worker, which has counted one request, and one version that is ready."""
    command = [sys.executable, "-c", WORKER, str(file)]
    with subprocess.Popen(command, pass_fds=[file], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "counted\n"
        try:
            yield started
        finally:
            started.kill()


def test_each_reads_what_the_others_have_counted_by_now(file: int) -> None:
    one, other = worker(file), worker(file, 1)
    for number in range(1, 4):
        one.requests.refuse(400)
        assert requests(one) == requests(other) == 2 * number - 1
        other.requests.refuse(400)
        assert requests(one) == requests(other) == 2 * number


def test_a_successor_goes_on_from_what_one_leaves(file: int) -> None:
    one = worker(file)
    for life in range(3):
        other = worker(file, 1)
        assert requests(one) == life
        other.requests.refuse(400)
        assert requests(other) == requests(one) == life + 1
        asyncio.run(other.close())


def test_of_a_worker_that_was_killed_the_counts_are_left(file: int) -> None:
    one = worker(file)
    with process(file) as other:
        living = totals(one)
        assert living.processes == {os.getpid(): True, other.pid: True}
        assert living.numbers["versions"] == {("READY",): [1]}
        other.kill()
        other.wait()
        left = totals(one)
    assert left.processes == {os.getpid(): True}
    assert left.numbers["versions"] == {}
    assert left.numbers["requests"] == living.numbers["requests"] == {OTHER: [1]}


def test_a_successor_does_not_go_on_with_gauges(file: int) -> None:
    with process(file) as other:
        other.kill()
    successor = worker(file, 1)
    gauges = {key: list(values) for key, values in successor.table.items() if key[0] == "versions"}
    assert str(gauges) == "{('versions', 'READY'): [nan]}"
    assert isnan(successor.table.values((PROCESS, other.pid))[0])


def test_one_that_is_stopped_is_silent_and_not_waited_for(file: int) -> None:
    one = worker(file)
    with process(file) as other:
        other.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        assert requests(one) == 1
        assert time.monotonic() - begin < 1
        while totals(one).processes[other.pid]:
            assert time.monotonic() - begin < 10
            time.sleep(0.1)
        assert totals(one).numbers["versions"] == {("READY",): [1]}
        other.send_signal(signal.SIGCONT)
        while not totals(one).processes[other.pid]:
            assert time.monotonic() - begin < 20
            time.sleep(0.1)


def test_what_changes_is_measured_without_a_question(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD", 0.01)
    running = [1.0]

    async def work() -> None:
        one = worker(file, 1, lambda: Sample([A], {("calls_running", *A): running[0]}, {}))
        one.start()
        for number in (1.0, 2.0):
            running[0] = number
            async with asyncio.timeout(10):
                while one.table.values(("calls_running", *A))[0] != number:
                    await asyncio.sleep(0.01)
        await one.close()

    asyncio.run(work())


def test_a_gauge_without_a_value_has_no_series() -> None:
    values: list[dict[Key, float]] = [{("calls_running", *A): 3.0}, {}, {("calls_running", *A): 1.0}]
    one = WorkerTelemetry(lambda: Sample([A], values.pop(0), {}))
    assert [dict(totals(one).numbers["calls_running"]) for _ in range(3)] == [{A: [3]}, {}, {A: [1]}]


def test_what_others_count_never_shrinks() -> None:
    counted = [[3.0, 5.0], [4.0, 5.0], [1.0, 2.0], [1.0, 2.0]]
    one = WorkerTelemetry(lambda: Sample([A], {}, {("batch_rows", *A): counted.pop(0)}))
    sums = [totals(one).numbers["batch_rows"][A] for _ in range(4)]
    assert sums == [[3, 5], [4, 5], [5, 7], [5, 7]]  # the model was loaded again


def test_a_worker_that_starts_reads_nothing_of_the_processor_time_twice(file: int) -> None:
    first = totals(worker(file)).numbers["processor_seconds"][()][0]
    second = totals(worker(file)).numbers["processor_seconds"][()][0]
    assert 2 * first <= second <= 2 * time.process_time()


def test_only_the_ends_of_loads_are_counted() -> None:
    one = WorkerTelemetry(lambda: Sample([A], {}, {}))
    for state in ("LOADING", "READY", "UNLOADING", "UNAVAILABLE", "LOADING", "FAILED", "READY"):
        one.note_load(*A, state)
    assert totals(one).numbers["loads"] == {(*A, "READY"): [2], (*A, "FAILED"): [1]}


def test_a_table_of_one_process_is_read_by_no_other() -> None:
    one, other = (WorkerTelemetry(lambda: Sample([], {}, {})) for _ in range(2))
    one.requests.refuse(400)
    assert (requests(one), requests(other)) == (1, 0)
    assert isinstance(other.table, CounterTable)

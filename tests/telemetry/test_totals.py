"""What several workers have counted is added up, but for what only one of them can say."""

from collections.abc import Mapping
from math import nan

import pytest

from mlbuffet.scheduling import Execution, Prediction
from mlbuffet.telemetry.counter_table import CounterTable, Key
from mlbuffet.telemetry.request_counters import RequestCounters
from mlbuffet.telemetry.version_statistics import MANY_SIZES, RunCounts, VersionStatistics
from mlbuffet.telemetry.worker import PROCESS, SILENT, Totals, total

A, B = ("a", 1), ("b", 2)
NOW = 100.0
BUCKETS_AND_SUM = 17


def table_of(numbers: Mapping[Key, float]) -> CounterTable:
    table = CounterTable()
    for key, number in numbers.items():
        table.values(key)[0] = number
    return table


def worker(process: int, factor: int = 1) -> CounterTable:
    table = table_of(
        {
            ("loads", *A, "READY"): 1,
            ("loads", *B, "FAILED"): factor,
            ("cache_hits", "a"): factor,
            ("cache_misses", "b"): factor,
            ("processor_seconds",): 1.5 * factor,
            ("versions", "READY"): 1,
            ("calls_waiting", *A): factor,
            ("calls_running", *A): 1,
            ("load_seconds", *A): 0.5 * factor,
            ("cache_bytes",): 100 * factor,
            ("cache_entries",): factor,
        }
    )
    table.add((PROCESS, process), [NOW])
    requests = RequestCounters(table)
    for _ in range(2 * factor):
        requests.count(("v2", *A), 200, 0.001)
    requests.count(("v2", *A), 400, 0.25)
    requests.refuse(404)
    statistics = VersionStatistics(table, *A)
    for _ in range(3 * factor):
        statistics.success(Prediction({}, Execution(2, 1, join=1, infer=2, divide=3), rows=2), 0, 1, 3, 6)
    statistics.success(Prediction({}, Execution(factor + 2, 1, 1, 1, 1)), 0, 1, 3, 6)
    statistics.failure(5)
    table.values(("last_inference", *A))[0] = 1000 + factor
    return table


def both(*, second_lives: bool = True) -> Totals:
    return total([(worker(1), True), (worker(2, factor=2), second_lives)], [A, B], NOW)


def test_counts_are_added_up() -> None:
    numbers = both().numbers
    assert numbers["requests"] == {(*A, "v2", 200): [6], (*A, "v2", 400): [2], ("", "", "other", 404): [2]}
    durations = numbers["request_seconds"][(*A, "v2")]
    assert len(durations) == BUCKETS_AND_SUM
    assert (durations[1], durations[8], sum(durations[:-1])) == (6, 2, 8)
    assert durations[-1] == pytest.approx(0.506)
    assert numbers["loads"] == {(*A, "READY"): [2], (*B, "FAILED"): [3]}
    assert (numbers["cache_hits"], numbers["cache_misses"]) == ({("a",): [3]}, {("b",): [3]})
    assert numbers["processor_seconds"] == {(): [4.5]}


def test_gauges_are_added_up_but_for_the_longest_load() -> None:
    totals = both()
    assert totals.processes == {1: True, 2: True}
    assert totals.numbers["versions"] == {("READY",): [2]}
    assert totals.numbers["calls_waiting"] == {A: [3]}
    assert totals.numbers["calls_running"] == {A: [2]}
    assert totals.numbers["load_seconds"] == {A: [1.0]}
    assert (totals.numbers["cache_bytes"], totals.numbers["cache_entries"]) == ({(): [300]}, {(): [3]})


def test_statistics_are_added_up_but_for_the_last_moment() -> None:
    counts = both().statistics()[A]
    assert (counts.succeeded, counts.failed, counts.rows, counts.last_inference) == (11, 2, 20, 1002)
    assert (counts.success_ns, counts.input_ns, counts.infer_ns, counts.output_ns) == (66, 11, 22, 33)
    assert (counts.fail_ns, counts.queue_ns, counts.hits, counts.misses) == (10, 0, 0, 0)
    assert counts.runs == {2: RunCounts(9, 9, 18, 27), 3: RunCounts(1, 1, 1, 1), 4: RunCounts(1, 1, 1, 1)}


@pytest.mark.parametrize(
    ("answers", "up"), [([1, 1], [1]), ([1, 0], [0]), ([1, nan], [1]), ([1, None], [1]), ([nan, None], None)]
)
def test_redis_is_up_where_all_reach_it(answers: list[float | None], up: list[float] | None) -> None:
    keys: list[dict[Key, float]] = [{} if answer is None else {("cache_redis_up",): answer} for answer in answers]
    numbers = total([(table_of(one), True) for one in keys], [], NOW).numbers
    assert numbers["cache_redis_up"].get(()) == up


def test_of_what_has_ended_the_counts_are_left() -> None:
    totals, alone = both(second_lives=False), total([(worker(1), True)], [A, B], NOW)
    assert totals.numbers["cache_hits"] == {("a",): [3]}
    assert totals.processes == {1: True}
    for gauge in ("versions", "calls_waiting", "calls_running", "load_seconds", "cache_bytes", "cache_entries"):
        assert totals.numbers[gauge] == alone.numbers[gauge]


@pytest.mark.parametrize(("age", "answers"), [(SILENT - 0.5, True), (SILENT + 0.5, False)])
def test_what_is_silent_is_told_apart(age: float, *, answers: bool) -> None:
    totals = total([(worker(7), True)], [A, B], NOW + age)
    assert totals.processes == {7: answers}
    assert totals.numbers["cache_hits"] == {("a",): [1]}
    assert totals.numbers["versions"] == {("READY",): [1]}


def test_versions_that_are_gone_lose_their_counts() -> None:
    totals = total([(worker(1), True)], [B], NOW)
    numbers = totals.numbers
    assert numbers["requests"] == {("", "", "other", 404): [1]}
    assert numbers["request_seconds"].keys() == {("", "", "other")}
    assert numbers["loads"] == {(*B, "FAILED"): [1]}
    assert (numbers["cache_hits"], numbers["cache_misses"], totals.statistics()) == ({}, {("b",): [1]}, {})
    assert (numbers["calls_waiting"], numbers["versions"]) == ({}, {("READY",): [1]})


def test_a_hit_and_a_miss_of_the_cache_are_told_apart() -> None:
    table = CounterTable()
    statistics = VersionStatistics(table, *A)
    statistics.success(Prediction({}, lookup=7), 0, 10, 20, 30)
    statistics.success(Prediction({}, Execution(1, 12, 0, 5, 0), lookup=9), 0, 10, 20, 30)
    counts = total([(table, True)], [A], NOW).statistics()[A]
    assert (counts.succeeded, counts.hits, counts.misses, counts.hit_ns, counts.miss_ns) == (2, 1, 1, 7, 9)
    assert (counts.queue_ns, counts.infer_ns, counts.success_ns) == (2, 8, 60)


def test_a_run_for_several_requests_is_counted_once() -> None:
    table = CounterTable()
    statistics = VersionStatistics(table, *A)
    shared = Execution(2, 12, join=1, infer=5, divide=2)
    for _ in range(2):
        statistics.success(Prediction({}, shared), 0, 10, 20, 30)
    counts = total([(table, True)], [A], NOW).statistics()[A]
    assert counts.runs == {2: RunCounts(runs=1, join=1, infer=5, divide=2)}


def test_runs_of_any_number_of_rows_take_little_room() -> None:
    table = CounterTable()
    statistics = VersionStatistics(table, "a", 1)
    for rows in range(1, 5001):
        statistics.success(Prediction({}, Execution(rows, 0, 0, 1, 0), rows), 0, 0, 1, 2)
    counts = total([(table, True)], {A}, NOW).statistics()[A]
    assert len(counts.runs) < MANY_SIZES + 10
    assert sum(run.runs for run in counts.runs.values()) == counts.succeeded == 5000
    assert counts.runs[7].runs == 1

"""What several processes have counted is added up, but for what only one of them can say."""

import msgspec
import pytest
from mlbuffet.telemetry.counts import Counts, Present, RequestCounts, total

from mlbuffet.repository import State
from mlbuffet.telemetry.version_statistics import BatchCounts, VersionStatistics, model_stats

A, B = ("a", 1), ("b", 2)


def counts(process: int, factor: int = 1) -> Counts:
    statistics = VersionStatistics(
        succeeded=3 * factor,
        failed=factor,
        rows=5 * factor,
        last_inference=1000 + factor,
        batches={2: BatchCounts(runs=factor, join=1, infer=2, divide=3), factor + 2: BatchCounts(runs=1)},
    )
    return Counts(
        requests={
            ("v2", *A): RequestCounts({200: 2 * factor, 400: 1}, [0, factor, *[0] * 14], 0.5 * factor),
            ("other", "", 0): RequestCounts({404: 1}, [1, *[0] * 15], 0.25),
        },
        loads={(*A, State.READY): 1, (*B, State.FAILED): factor},
        batches={A: {1: factor, factor + 1: 1}},
        cache_hits={"a": factor},
        cache_misses={"b": factor},
        statistics={A: model_stats(*A, statistics)},
        processor_seconds=1.5 * factor,
        present=Present(
            processes={process: True},
            states={State.READY: 1},
            waiting={A: factor},
            running={A: 1},
            load_seconds={A: 0.5 * factor},
            cache_bytes=100 * factor,
            cache_entries=factor,
        ),
    )


def test_counts_travel_unchanged() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(counts(1)), type=Counts) == counts(1)


def test_counts_are_added_up() -> None:
    parts = [counts(1), counts(2, factor=2)]
    copies = [counts(1), counts(2, factor=2)]
    both = total(parts)
    assert parts == copies
    assert both.requests["v2", "a", 1] == RequestCounts({200: 6, 400: 2}, [0, 3, *[0] * 14], 1.5)
    assert both.requests["other", "", 0].statuses == {404: 2}
    assert both.loads == {(*A, State.READY): 2, (*B, State.FAILED): 3}
    assert both.batches == {A: {1: 3, 2: 1, 3: 1}}
    assert (both.cache_hits, both.cache_misses, both.processor_seconds) == ({"a": 3}, {"b": 3}, 4.5)
    assert both.present == Present(
        processes={1: True, 2: True},
        states={State.READY: 2},
        waiting={A: 3},
        running={A: 2},
        load_seconds={A: 1.0},
        cache_bytes=300,
        cache_entries=3,
    )


def test_statistics_are_added_up_but_for_the_last_moment() -> None:
    both = total([counts(1), counts(2, factor=2)]).statistics[A]
    assert (both["inference_count"], both["execution_count"], both["last_inference"]) == (15, 5, 1002)
    assert both["inference_stats"]["success"]["count"] == 9
    assert both["inference_stats"]["fail"]["count"] == 3
    assert [batch["batch_size"] for batch in both["batch_stats"]] == [2, 3, 4]
    assert both["batch_stats"][0]["compute_infer"] == {"count": 3, "ns": 4}


@pytest.mark.parametrize(
    ("answers", "up"), [([True, True], True), ([True, False], False), ([True, None], True), ([None, None], None)]
)
def test_redis_is_up_where_all_reach_it(answers: list[bool | None], *, up: bool | None) -> None:
    present = total([Counts(present=Present(processes={}, redis_up=answer)) for answer in answers]).present
    assert present is not None
    assert present.redis_up is up


def test_of_what_has_ended_the_counts_are_left() -> None:
    both = total([counts(1), counts(2).past()])
    assert both.cache_hits == {"a": 2}
    assert both.present == counts(1).present
    assert total([Counts(), counts(1).past()]).present is None


def test_what_is_silent_is_told_apart() -> None:
    silent = counts(7).silent()
    assert silent.present is not None
    assert silent.present.processes == {7: False}
    assert silent.cache_hits == {"a": 1}
    assert Counts().silent() == Counts()


def test_versions_that_are_gone_lose_their_counts() -> None:
    left = counts(1).of({B})
    assert left.requests.keys() == {("other", "", 0)}
    assert left.loads == {(*B, State.FAILED): 1}
    assert (left.batches, left.statistics, left.cache_hits, left.cache_misses) == ({}, {}, {}, {"b": 1})

"""Calls are trusted with the event loop for what they took, and no longer than they keep to it."""

import pytest

from mlbuffet.scheduling.latency_estimate import ERRATIC, QUICK, SLOW, TOO_LONG, LatencyEstimate


def quick_estimate() -> LatencyEstimate:
    estimate = LatencyEstimate()
    for _ in range(8):
        estimate.note_thread(QUICK / 2)
    assert estimate.quick
    return estimate


def test_the_first_calls_are_not_trusted() -> None:
    estimate = LatencyEstimate()
    for _ in range(7):
        estimate.note_thread(QUICK / 2)
        assert not estimate.quick


@pytest.mark.parametrize("seconds", [QUICK, SLOW, 1.0])
def test_a_slow_call_is_never_trusted(seconds: float) -> None:
    estimate = LatencyEstimate()
    for _ in range(100):
        estimate.note_thread(seconds)
    assert not estimate.quick


def test_waiting_for_the_lock_of_python_does_not_make_a_quick_call_slow() -> None:
    estimate = LatencyEstimate()
    for seconds in [QUICK / 2, 0.005, 0.005, QUICK / 2, 0.01, QUICK / 2, 0.005, 0.005]:
        estimate.note_thread(seconds)
    assert estimate.quick


def test_a_call_that_takes_very_long_in_a_thread_undoes_half_of_the_good_ones() -> None:
    estimate = LatencyEstimate()
    for seconds in [QUICK / 2] * 7 + [ERRATIC] + [QUICK / 2] * 4:
        estimate.note_thread(seconds)
        assert not estimate.quick
    estimate.note_thread(QUICK / 2)
    assert estimate.quick


def test_between_the_two_bounds_a_kind_stays_where_it_is() -> None:
    estimate = quick_estimate()
    for _ in range(100):
        estimate.note_loop((QUICK + SLOW) / 2)
    assert estimate.quick


def test_a_kind_that_gets_slow_leaves_the_loop() -> None:
    estimate = quick_estimate()
    for _ in range(8):
        estimate.note_loop(SLOW * 2)
    assert not estimate.quick


def test_one_call_that_the_machine_delays_does_not_cost_a_kind_its_place() -> None:
    estimate = quick_estimate()
    for _ in range(8):
        estimate.note_loop(QUICK / 4)
    estimate.note_loop(ERRATIC)
    assert estimate.quick
    estimate.note_loop(TOO_LONG)
    assert not estimate.quick


def leave(estimate: LatencyEstimate) -> None:
    estimate.note_loop(ERRATIC * 1.1)
    assert not estimate.quick


def come_back(estimate: LatencyEstimate, *, after: int) -> None:
    for _ in range(after):
        assert not estimate.quick
        estimate.note_thread(QUICK / 2)
    assert estimate.quick


def test_each_time_that_a_kind_leaves_the_loop_the_way_back_is_four_times_as_long() -> None:
    estimate = quick_estimate()
    for needed in (32, 128, 512):
        leave(estimate)
        come_back(estimate, after=needed)


def test_a_thousand_good_calls_undo_one_bad_one() -> None:
    estimate = quick_estimate()
    leave(estimate)
    come_back(estimate, after=32)
    for _ in range(1024):
        estimate.note_loop(QUICK / 2)
    leave(estimate)
    come_back(estimate, after=32)

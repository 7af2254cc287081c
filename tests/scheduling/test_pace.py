"""Calls are trusted with the event loop for what they took, and no longer than they keep to it."""

import pytest

from mlbuffet.scheduling.latency_estimate import ERRATIC, QUICK, SLOW, TOO_LONG, Pace


def quick_pace() -> Pace:
    pace = Pace()
    for _ in range(8):
        pace.note_thread(QUICK / 2)
    assert pace.quick
    return pace


def test_the_first_calls_are_not_trusted() -> None:
    pace = Pace()
    for _ in range(7):
        pace.note_thread(QUICK / 2)
        assert not pace.quick


@pytest.mark.parametrize("seconds", [QUICK, SLOW, 1.0])
def test_a_slow_call_is_never_trusted(seconds: float) -> None:
    pace = Pace()
    for _ in range(100):
        pace.note_thread(seconds)
    assert not pace.quick


def test_waiting_for_the_lock_of_python_does_not_make_a_quick_call_slow() -> None:
    pace = Pace()
    for seconds in [QUICK / 2, 0.005, 0.005, QUICK / 2, 0.01, QUICK / 2, 0.005, 0.005]:
        pace.note_thread(seconds)
    assert pace.quick


def test_a_call_that_takes_very_long_in_a_thread_undoes_half_of_the_good_ones() -> None:
    pace = Pace()
    for seconds in [QUICK / 2] * 7 + [ERRATIC] + [QUICK / 2] * 4:
        pace.note_thread(seconds)
        assert not pace.quick
    pace.note_thread(QUICK / 2)
    assert pace.quick


def test_between_the_two_bounds_a_kind_stays_where_it_is() -> None:
    pace = quick_pace()
    for _ in range(100):
        pace.note_loop((QUICK + SLOW) / 2)
    assert pace.quick


def test_a_kind_that_gets_slow_leaves_the_loop() -> None:
    pace = quick_pace()
    for _ in range(8):
        pace.note_loop(SLOW * 2)
    assert not pace.quick


def test_one_call_that_the_machine_delays_does_not_cost_a_kind_its_place() -> None:
    pace = quick_pace()
    for _ in range(8):
        pace.note_loop(QUICK / 4)
    pace.note_loop(ERRATIC)
    assert pace.quick
    pace.note_loop(TOO_LONG)
    assert not pace.quick


def leave(pace: Pace) -> None:
    pace.note_loop(ERRATIC * 1.1)
    assert not pace.quick


def come_back(pace: Pace, *, after: int) -> None:
    for _ in range(after):
        assert not pace.quick
        pace.note_thread(QUICK / 2)
    assert pace.quick


def test_each_time_that_a_kind_leaves_the_loop_the_way_back_is_four_times_as_long() -> None:
    pace = quick_pace()
    for needed in (32, 128, 512):
        leave(pace)
        come_back(pace, after=needed)


def test_a_thousand_good_calls_undo_one_bad_one() -> None:
    pace = quick_pace()
    leave(pace)
    come_back(pace, after=32)
    for _ in range(1024):
        pace.note_loop(QUICK / 2)
    leave(pace)
    come_back(pace, after=32)

"""A load that failed is tried again, later each time, until its repository is closed."""

from threading import Event

from mlbuffet.repository.retries import Retries, retry_delay


def test_each_failure_in_a_row_doubles_the_delay_up_to_five_minutes() -> None:
    assert [retry_delay(failures) for failures in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert retry_delay(9) == 256
    assert retry_delay(10) == retry_delay(10_000) == 300


def test_what_is_due_is_tried_and_after_the_end_nothing_is() -> None:
    retries, tried, later = Retries(), Event(), Event()
    retries.after(0, tried.set)
    assert tried.wait(10)
    retries.after(0.05, later.set)
    retries.close()
    assert not later.wait(0.2)

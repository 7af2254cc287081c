"""A load that failed is tried again, later each time, until its repository is closed."""

from collections.abc import Callable
from pathlib import Path
from threading import Event, RLock

import pytest

from mlbuffet import Runtimes
from mlbuffet.repository import Configuration, ModelVersion, StoredVersion
from mlbuffet.repository.load_queue import LoadQueue
from mlbuffet.scheduling import Scheduling


@pytest.fixture
def version(tmp_path: Path) -> ModelVersion:
    return ModelVersion(StoredVersion("m", 1, tmp_path), Scheduling(), Configuration(), None, lambda _: None)


@pytest.fixture
def queue() -> Callable[[Event], LoadQueue]:
    """A function that makes a queue that sets an event when a load begins."""
    return lambda tried: LoadQueue(RLock(), Runtimes(), None, begins=lambda _: tried.set(), ended=lambda _: None)


def test_each_failure_in_a_row_doubles_the_delay_up_to_five_minutes(version: ModelVersion) -> None:
    delays = {}
    for version.failures in (1, 2, 3, 4, 9, 10, 10_000):
        delays[version.failures] = version.retry_delay
    assert delays == {1: 1, 2: 2, 3: 4, 4: 8, 9: 256, 10: 300, 10_000: 300}


def test_what_is_due_is_tried_and_after_the_end_nothing_is(
    version: ModelVersion, queue: Callable[[Event], LoadQueue]
) -> None:
    tried, later = Event(), Event()
    loads, closed = queue(tried), queue(later)
    loads.request_later(version, 0)
    assert tried.wait(10)
    loads.close()
    closed.request_later(version, 0.05)
    closed.close()
    assert not later.wait(0.2)

"""Tests wait for what is to come, not for a time."""

import time
from collections.abc import Callable


def wait_for(reached: Callable[[], object], seconds: float = 15) -> None:
    """Until it has come to that."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)

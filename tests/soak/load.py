"""The load that one server has, and what the server takes before and after it."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import psutil

from soak.served import Served

_SETTLING = 20.0
"""Seconds within which what was under way has ended once nobody asks any more."""


class Load(Protocol):
    """A client, or what disturbs the server."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def join(self) -> None: ...


class Resources(NamedTuple):
    """What the server takes while nobody asks it, with the processes of its models but for their memory."""

    memory: int
    """Bytes, of the server alone: models are loaded anew all the while."""
    files: int
    threads: int
    processes: int

    def grown_to(self, later: "Resources") -> "Resources":
        """How much more that is."""
        return Resources(*(new - old for old, new in zip(self, later, strict=True)))


def resources_of(served: Served) -> Resources:
    """Once they stay as they are for a second."""
    found: list[Resources] = []
    deadline = time.monotonic() + _SETTLING
    while len(found) < 4 or len({one[1:] for one in found[-4:]}) > 1:
        if time.monotonic() > deadline:
            break
        time.sleep(0.3)
        own, *others = served.look()
        files = own.num_fds() + sum(map(_files_of, others))
        found.append(Resources(own.memory_info().rss, files, own.num_threads(), len(others)))
    return found[-1]


@contextmanager
def under(loads: Collection[Load]) -> Iterator[None]:
    """Have all of ``loads`` meanwhile."""
    for one in loads:
        one.start()
    try:
        yield
    finally:
        for one in loads:
            one.stop()
        for one in loads:
            one.join()


def _files_of(process: psutil.Process) -> int:
    try:
        return process.num_fds()
    except psutil.Error:  # it has just ended
        return 0

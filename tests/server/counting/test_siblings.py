"""Workers tell each other what they have counted, as far as they can, and none waits long for another."""

import asyncio
import logging
import os
import socket
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mlbuffet.telemetry.counts import Counts
from mlbuffet.telemetry.load_counters import Loads
from mlbuffet.telemetry.snapshot import Census
from mlbuffet.telemetry.worker_exchange import Siblings, left_by_predecessor

from mlbuffet import Runtimes
from mlbuffet.repository import ModelRepository
from mlbuffet.telemetry import worker_exchange as siblings
from mlbuffet.telemetry.request_counters import Traffic
from mlbuffet.telemetry.worker_slot import Seat

OTHER = "other", "", 0


@pytest.fixture
def seat() -> Iterator[Seat]:
    """The first of two, in a folder with a path that is short, as that of a socket must be."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Seat(folder=Path(folder), number=0, count=2, supervisor=os.getppid())


@pytest.fixture
def second(seat: Seat) -> Seat:
    return seat.others[0]


class Worker:
    """What counts, and tells others of it, at one seat."""

    def __init__(self, seat: Seat) -> None:
        self.traffic = Traffic()
        census = Census(ModelRepository(Runtimes()), self.traffic, Loads(), {}, left_by_predecessor(seat))
        self.siblings = Siblings(seat, census)

    async def told(self) -> list[int]:
        """How many requests each worker has counted."""
        return [requests_in(one) for one in await self.siblings.counts()]


def requests_in(counts: Counts) -> int:
    return sum(counts.requests[OTHER].statuses.values()) if OTHER in counts.requests else 0


@asynccontextmanager
async def working(seat: Seat) -> Any:
    worker = Worker(seat)
    await worker.siblings.start()
    yield worker
    await worker.siblings.close()


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def test_each_tells_what_it_has_counted_by_now(seat: Seat, second: Seat) -> None:
    async def ask() -> None:
        async with working(seat) as one, working(second) as other:
            for number in range(1, 4):
                one.traffic.refuse(400)
                assert await one.told() == [number, number - 1]
                other.traffic.refuse(400)
                assert await other.told() == [number, number]

    run(ask())


def test_what_one_leaves_its_successor_goes_on_from(seat: Seat, second: Seat) -> None:
    async def ask() -> None:
        async with working(seat) as one:
            for life in range(3):
                async with working(second) as other:
                    assert await one.told() == [0, life]
                    other.traffic.refuse(400)
                assert not second.socket.exists()
                assert await one.told() == [0, life + 1]
                (_, gone) = await one.siblings.counts()
                assert gone.present is None

    run(ask())


@pytest.mark.parametrize("answer", [b"", b"\xc1", b"\x93"])
def test_nonsense_counts_as_silence(seat: Seat, second: Seat, answer: bytes) -> None:
    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async def ask() -> None:
        async with working(second) as other:
            other.traffic.refuse(400)
        async with working(seat) as one:
            server = await asyncio.start_unix_server(nonsense, second.socket)
            assert await one.told() == [0, 1]
            (_, silent) = await one.siblings.counts()
            assert silent.present is not None
            assert list(silent.present.processes.values()) == [False]
            server.close()

    run(ask())


def test_one_that_does_not_answer_is_not_waited_for(seat: Seat, second: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "PATIENCE", 0.2)

    async def ask() -> None:
        async with working(seat) as one:
            begin = time.monotonic()
            assert await asyncio.gather(*(one.told() for _ in range(20))) == [[0, 0]] * 20
            assert time.monotonic() - begin < 2

    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(second.socket))
        hung.listen(1)  # nobody takes more than the first two
        run(ask())


def test_a_folder_that_is_gone_is_told_once_and_costs_only_the_others(
    seat: Seat, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(siblings, "PERIOD", 0.01)

    async def ask() -> None:
        async with working(replace(seat, folder=seat.folder / "gone")) as one:
            for number in range(1, 4):
                one.traffic.refuse(400)
                assert await one.told() == [number, 0]
                await asyncio.sleep(0.05)

    with caplog.at_level(logging.WARNING):
        run(ask())
    told = [record.getMessage().partition(":")[0] for record in caplog.records if record.name == siblings.__name__]
    assert told == [
        "no other worker is told what this one counts",
        "what is counted is lost if this worker dies",
    ]


def test_a_disk_that_hangs_holds_nobody_up(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "PATIENCE", 0.1)
    monkeypatch.setattr(Seat, "write", lambda self, text: time.sleep(1))

    async def ask() -> None:
        async with working(seat) as one:
            one.traffic.refuse(400)
            begin = time.monotonic()
            assert await one.told() == [1, 0]
            assert time.monotonic() - begin < 0.9

    run(ask())


def test_what_changes_is_written_down_without_a_question(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "PERIOD", 0.01)

    async def ask() -> None:
        async with working(seat) as one:
            one.traffic.refuse(400)
            async with asyncio.timeout(10):
                while requests_in(left_by_predecessor(seat)) < 1:
                    await asyncio.sleep(0.01)
            written = seat.read()
            await asyncio.sleep(0.2)
            assert seat.read() == written  # nothing has changed

    run(ask())


@pytest.mark.parametrize("left", [b"", b"\xc1", msgspec.msgpack.encode([])])
def test_a_successor_begins_at_zero_where_what_was_left_cannot_be_read(seat: Seat, left: bytes) -> None:
    seat.write(left)
    assert left_by_predecessor(seat) == Counts()


def test_the_last_to_leave_removes_the_folder_of_a_supervisor_that_was_killed(seat: Seat, second: Seat) -> None:
    orphan, other = (replace(one, supervisor=-1) for one in (seat, second))

    async def leave() -> None:
        async with working(orphan):
            async with working(other):
                pass
            assert seat.folder.exists()
        assert not seat.folder.exists()

    run(leave())


def test_what_a_killed_worker_left_goes_with_the_last(seat: Seat, second: Seat) -> None:
    orphan = replace(seat, supervisor=-1)
    second.write(b"")
    (seat.folder / "1.part").touch()
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(second.socket))
    orphan.write(b"")
    orphan.leave()
    assert not seat.folder.exists()

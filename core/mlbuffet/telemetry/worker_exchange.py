"""What the workers of one server tell each other of what they have counted."""

import asyncio
import logging
from asyncio import StreamReader, StreamWriter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter

import msgspec
from anyio.to_thread import run_sync

from mlbuffet.telemetry.counts import Counts
from mlbuffet.telemetry.snapshot import Census
from mlbuffet.telemetry.worker_slot import Seat

PATIENCE = 1.0
"""How many seconds a worker is waited for; then what it wrote last stands for it."""
PERIOD = 1.0
"""Seconds after which a worker writes down what has changed, so that little is lost when it is killed, or ..."""
SHARE = 0.01
"""... later, where there is so much that this would take a larger share of its time."""

logger = logging.getLogger(__name__)


class Siblings:
    """All workers of a server, as one of them sees it.

    Whatever a worker tells, it has written down before, and its successor goes on from there: so no count that was told
    is ever told smaller.
    """

    def __init__(self, seat: Seat, census: Census) -> None:
        self._seat = seat
        self._census = census
        self._writer = ThreadPoolExecutor(1, "mlbuffet-counts")  # one thread: what is later is written later
        self._steady = Counts()
        self._fails = False
        self._has_left = False
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen to the others, and write down what changes."""
        try:
            self._seat.socket.unlink(missing_ok=True)  # its predecessor may have been killed
            self._server = await asyncio.start_unix_server(self._tell, self._seat.socket)
        except OSError as error:
            logger.warning("no other worker is told what this one counts: %s: %s", self._seat.socket, error.strerror)
        self._writing = asyncio.create_task(self._write_changes())

    async def close(self) -> None:
        """Leave all that was counted."""
        self._writing.cancel()
        if self._server is not None:
            self._server.close()
        await self._told()
        leaving = asyncio.get_running_loop().run_in_executor(self._writer, self._leave)
        await asyncio.wait([leaving], timeout=PATIENCE)
        self._writer.shutdown(wait=False)

    async def counts(self) -> list[Counts]:
        """Of each worker what it has counted: by now, or if it does not answer in time, or lives no more, at last."""
        return await asyncio.gather(self._told(), *map(self._asked, self._seat.others))

    async def _told(self) -> Counts:
        self._census.forget()
        if self._has_left:
            return await run_sync(self._census.take)
        writing = asyncio.get_running_loop().run_in_executor(self._writer, self._write)
        written, _ = await asyncio.wait([writing], timeout=PATIENCE)
        return writing.result() if written else await run_sync(self._census.take)  # the disk takes its time

    async def _asked(self, seat: Seat) -> Counts:
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await _ask(seat)
            return await run_sync(_decoded, answer)
        except (ConnectionRefusedError, FileNotFoundError):  # nobody has the seat just now
            return (await run_sync(_last, seat)).past()
        except (OSError, msgspec.DecodeError):
            return (await run_sync(_last, seat)).silent()

    async def _tell(self, _: StreamReader, writer: StreamWriter) -> None:
        try:
            # whoever asked may have gone; and asyncio writes a traceback of what is cancelled when its loop ends
            with suppress(OSError, asyncio.CancelledError):
                writer.write(await run_sync(msgspec.msgpack.encode, await self._told()))
                await writer.drain()
        finally:
            writer.close()

    async def _write_changes(self) -> None:
        while True:
            begin = perf_counter()
            await asyncio.get_running_loop().run_in_executor(self._writer, self._write_change)
            await asyncio.sleep(max(PERIOD, (perf_counter() - begin) / SHARE))

    def _write_change(self) -> None:
        counts = self._census.take()
        steady = msgspec.structs.replace(counts, processor_seconds=0.0)  # which pass by themselves
        if steady != self._steady or self._fails:
            self._steady = steady
            self._write(counts)

    def _leave(self) -> None:
        """In the thread that writes, so that nothing is written afterwards."""
        self._has_left = True
        self._seat.leave()

    def _write(self, counts: Counts | None = None) -> Counts:
        counts = counts or self._census.take()
        if self._has_left:
            return counts
        try:
            self._seat.write(msgspec.msgpack.encode(counts))
            self._fails = False
        except OSError as error:
            if not self._fails:
                logger.warning("what is counted is lost if this worker dies: %s: %s", self._seat.folder, error.strerror)
            self._fails = True
        return counts


def left_by_predecessor(seat: Seat) -> Counts:
    """What those had counted who had the seat before."""
    return _last(seat).past()


async def _ask(seat: Seat) -> bytes:
    reader, writer = await asyncio.open_unix_connection(seat.socket)
    try:
        return await reader.read()
    finally:
        writer.close()


def _last(seat: Seat) -> Counts:
    try:
        return _decoded(seat.read())
    except (OSError, msgspec.DecodeError):
        return Counts()


def _decoded(answer: bytes) -> Counts:
    return msgspec.msgpack.decode(answer, type=Counts)

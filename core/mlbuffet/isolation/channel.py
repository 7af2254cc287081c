"""A way for calls into another process, one at a time, through memory that both have."""

import os
import select
from collections.abc import Callable
from math import nan
from struct import Struct
from typing import Any, NamedTuple
from weakref import ref

import msgspec

from mlbuffet.isolation import messages
from mlbuffet.isolation.messages import SMALL, Memory, Packed, Packer, Received, Unpacker, pack_plain
from mlbuffet.isolation.segments import Segments, SharedSegments

_REQUEST = Struct("<QQQQ")  # the size of the memory, the place of the request, place and capacity of the answer
_ANSWER = Struct("<QQ")  # what it is, and how many bytes it takes
_ANSWER_PLACE = 64
_WRITTEN, _TOO_LARGE = 0, 1
_SIGNAL = (1).to_bytes(8, "little")
_FIRST = 4096

Files = tuple[int, int, int]
"""The memory, what is written to when there is a request, and when there is an answer."""


class ProcessGone(Exception):
    """The other process has ended."""


class _Segment(NamedTuple):
    place: int
    capacity: int


class Channel:
    """The end of the process that calls."""

    def __init__(self) -> None:
        self._segments = Segments()
        self._requested = os.eventfd(0, os.EFD_CLOEXEC)
        self._answered = os.eventfd(0, os.EFD_CLOEXEC)
        self._request = _Segment(*self._segments.take(_FIRST))
        self._answer = _Segment(*self._segments.take(_FIRST))
        self._posted: object = None
        """Where the other process looks for the request, and may write the answer."""
        self._kept: dict[int, int] = {}
        """Segments of requests that the other process still uses."""
        self._lent: dict[int, ref[Memory]] = {}
        """Segments of answers that this process still uses."""
        self._packer = Packer()
        self._unpacker = Unpacker()
        self.is_gone = False

    @property
    def files(self) -> Files:
        """What the other end is made of."""
        return self._segments.file, self._requested, self._answered

    def begin(self, message: Packed, tail: bytes = b"", deadline: float | None = None) -> None:
        """Send a request."""
        until = nan if deadline is None else deadline
        content = messages.whole(message, tail, until) if message.size <= SMALL else b""
        size = len(content) or messages.size_of(message, tail)
        if size > self._request.capacity:
            self._segments.give(*self._request)
            self._request = _Segment(*self._segments.take(size))
        memory, place = self._segments.memory, self._request.place
        if content:
            memory[place : place + size] = content
        else:
            messages.write(memory, place, message, tail, until)
        self._ring()

    def finish(self, timeout: float | None = None) -> Received:
        """The answer. Raises ``TimeoutError``, after which it may be asked for again, and `ProcessGone`."""
        while True:
            self._wait(timeout)
            what, size = _ANSWER.unpack_from(self._segments.memory, _ANSWER_PLACE)
            if what == _WRITTEN:
                break
            self._segments.give(*self._answer)
            self._answer = _Segment(*self._segments.take(size))
            self._ring()
        received = self._unpacker.read(self._segments.memory, self._answer.place)
        if received.tail:
            self._note_use(*msgspec.msgpack.decode(received.tail))
        if received.memory is not None:
            self._lend(received.memory)
        return received

    def wake(self) -> None:
        """Let a `finish` that waits raise `ProcessGone`; in any thread."""
        self.is_gone = True
        os.write(self._answered, _SIGNAL)

    def close(self) -> None:
        """Arrays of answers stay as they are."""
        self._lent.clear()
        os.close(self._requested)
        os.close(self._answered)
        self._segments.close()

    def _ring(self) -> None:
        memory = self._segments.memory
        where = len(memory), self._request.place, self._answer
        if where != self._posted:
            self._posted = where
            _REQUEST.pack_into(memory, 0, len(memory), self._request.place, *self._answer)
        os.write(self._requested, _SIGNAL)

    def _wait(self, timeout: float | None) -> None:
        if timeout is not None:
            poll = select.poll()
            poll.register(self._answered, select.POLLIN)
            if not poll.poll(max(timeout, 0) * 1000):
                raise TimeoutError
        os.read(self._answered, 8)
        if self.is_gone:
            raise ProcessGone

    def _note_use(self, keeps: bool, unused: list[int]) -> None:  # noqa: FBT001 as it came
        """Leave the request alone where the other process ``keeps`` its arrays; use again what it does not any more."""
        for place in unused:
            self._segments.give(place, self._kept.pop(place))
        if keeps:
            self._kept[self._request.place] = self._request.capacity
            self._request = _Segment(*self._segments.take(self._request.capacity))

    def _lend(self, memory: Memory) -> None:
        """Leave the answer alone until nobody has an array of it."""
        segments, answer, lent = self._segments, self._answer, self._lent

        def give_back(_: object) -> None:
            del lent[answer.place]
            segments.give(*answer)

        lent[answer.place] = ref(memory, give_back)
        self._answer = _Segment(*segments.take(answer.capacity))


class ServedChannel:
    """The end of the process that answers."""

    def __init__(self, files: Files) -> None:
        file, self._requested, self._answered = files
        self._segments = SharedSegments(file)
        self._unpacker = Unpacker()
        self._kept: dict[int, ref[Memory]] = {}
        self._is_closed = False

    def serve(self, answer: Callable[[Received], Packed]) -> None:
        """Answer requests until the channel is closed."""
        while self._next():
            received, place = self._read()
            answered = answer(received)
            used = None if received.memory is None else ref(received.memory)
            del received  # what is still used then, the model keeps
            self._write(answered, self._use(place, used))
            del answered

    def close(self) -> None:
        """Let `serve` return; in any thread."""
        self._is_closed = True
        os.write(self._requested, _SIGNAL)

    def _next(self) -> bool:
        os.read(self._requested, 8)
        if self._is_closed:
            self._segments.close()
            os.close(self._requested)
            os.close(self._answered)
        return not self._is_closed

    def _read(self) -> tuple[Received, int]:
        size, place, *_ = _REQUEST.unpack_from(self._segments.memory, 0)
        self._segments.reach(size)
        return self._unpacker.read(self._segments.memory, place), place

    def _use(self, place: int, memory: "ref[Memory] | None") -> bytes:
        """Which requests the model still has arrays of, for the other end."""
        keeps = memory is not None and memory() is not None
        unused = [one for one, kept in self._kept.items() if kept() is None]
        for one in unused:
            del self._kept[one]
        if keeps and memory is not None:
            self._kept[place] = memory
        return messages.plain([keeps, unused]) if keeps or unused else b""

    def _write(self, message: Packed, tail: bytes) -> None:
        content = messages.whole(message, tail) if message.size <= SMALL else b""
        needed = len(content) or messages.size_of(message, tail)
        while True:
            size, _, place, capacity = _REQUEST.unpack_from(self._segments.memory, 0)
            if needed <= capacity:
                break
            _ANSWER.pack_into(self._segments.memory, _ANSWER_PLACE, _TOO_LARGE, needed)
            os.write(self._answered, _SIGNAL)
            os.read(self._requested, 8)
            if self._is_closed:
                return
        self._segments.reach(size)
        if content:
            self._segments.memory[place : place + needed] = content
        else:
            messages.write(self._segments.memory, place, message, tail)
        _ANSWER.pack_into(self._segments.memory, _ANSWER_PLACE, _WRITTEN, needed)
        os.write(self._answered, _SIGNAL)


def error_message(error: dict[str, Any]) -> Packed:
    """An error, as `mlbuffet.isolation.sent_errors` has it, as an answer."""
    return pack_plain(["error", error])

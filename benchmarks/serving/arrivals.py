"""Load that does not wait for answers: requests that arrive at a fixed rate, whatever becomes of those before them."""

import socket
import statistics
import time
from dataclasses import dataclass, field
from select import EPOLLIN, epoll
from urllib.parse import urlsplit

from httptools import HttpResponseParser

from figures import Round
from serving.bodies import Body

PATIENCE = 10.0
"""How long a client waits, in seconds."""
TICK = 0.002
"""Requests that arrive within so many seconds are sent together."""


def arrive(url: str, body: Body, *, rate: float, seconds: int) -> Round:
    """``rate`` requests a second: good answers a second, how long those took, and how many were refused a second.

    ``load s/s`` is the processor time that the requests themselves took: what the server did not have.
    """
    place = urlsplit(url)
    head = [f"POST {body.path} HTTP/1.1", f"host: {place.netloc}", f"content-length: {len(body.content)}"]
    head += [f"{name}: {value}" for name, value in body.headers.items()]
    clients = _Clients((place.hostname or "", place.port or 80), "\r\n".join([*head, "", ""]).encode() + body.content)
    begin, worked = time.perf_counter(), time.process_time()
    clients.ask(begin, rate, int(rate * seconds))
    took, worked = time.perf_counter() - begin, time.process_time() - worked
    clients.close()
    accepted = clients.accepted
    return {
        "good answers/s": len(accepted) / took,
        "p99 ms": statistics.quantiles(accepted, n=100)[-1] * 1000 if len(accepted) > 1 else float("nan"),
        "refused/s": clients.statuses.count(503) / took,
        "lost/s": clients.statuses.count(0) / took,
        "load s/s": worked / took,
    }


class _Connection:
    """A socket, with what reads the answers that come on it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.is_answered = False
        self._parser = HttpResponseParser(self)

    def on_message_complete(self) -> None:
        """The parser has read an answer."""
        self.is_answered = True

    def read(self) -> int | None:
        """The status of an answer that is whole now; 0 where none will come."""
        try:
            piece = self.socket.recv(65536)
        except ConnectionError:
            piece = b""
        if not piece:
            return 0
        self.is_answered = False
        self._parser.feed_data(piece)
        return self._parser.get_status_code() if self.is_answered else None


@dataclass
class _Clients:
    """As many connections as there are requests at once.

    It is a loop around sockets, because a client of a general kind takes ten times as long for a request, and what it
    takes of the processors is missing where the server is measured.
    """

    address: tuple[str, int]
    request: bytes
    accepted: list[float] = field(default_factory=list)
    """How many seconds good answers took."""
    statuses: list[int] = field(default_factory=list)
    """0 for a request that was not answered."""
    _free: list[_Connection] = field(default_factory=list)
    _asking: dict[_Connection, float] = field(default_factory=dict)
    """Since when; the first asks longest."""
    _descriptors: dict[int, _Connection] = field(default_factory=dict)
    _poll: epoll = field(default_factory=epoll)

    def ask(self, begin: float, rate: float, count: int) -> None:
        """Send so many requests, and wait for all of their answers."""
        sent = 0
        while sent < count or self._asking:
            now = time.perf_counter()
            while sent < min(count, (now - begin) * rate):
                self._send(now)
                sent += 1
            for descriptor, _ in self._poll.poll(TICK):
                self._read(self._descriptors[descriptor])
            while self._asking and now - next(iter(self._asking.values())) > PATIENCE:
                self._lose(next(iter(self._asking)))
            time.sleep(max(0.0, now + TICK - time.perf_counter()))

    def close(self) -> None:
        """End every connection."""
        for connection in self._free:
            connection.socket.close()
        self._poll.close()

    def _send(self, now: float) -> None:
        connection = self._free.pop() if self._free else self._connected()
        self._asking[connection] = now
        try:
            connection.socket.sendall(self.request)
        except ConnectionError:
            self._lose(connection)

    def _connected(self) -> _Connection:
        connection = _Connection(self.address)
        self._descriptors[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, EPOLLIN)
        return connection

    def _read(self, connection: _Connection) -> None:
        status = connection.read()
        if status == 0:
            self._lose(connection)
        elif status is not None:
            self.statuses.append(status)
            began = self._asking.pop(connection)
            if status == 200:
                self.accepted.append(time.perf_counter() - began)
            self._free.append(connection)

    def _lose(self, connection: _Connection) -> None:
        if self._asking.pop(connection, None) is None:
            self._free.remove(connection)
        else:
            self.statuses.append(0)
        self._poll.unregister(connection.socket)
        connection.socket.close()

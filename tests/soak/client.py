"""One of the clients of the campaign: asks again and again, in a thread of its own."""

import time
from abc import ABC, abstractmethod
from threading import Event, Thread

import grpc
import httpx

from soak.served import Served
from soak.tally import Tally

TIMEOUT = 120.0
"""Seconds after which a request that nothing answers is a failure."""


class Client(ABC):
    """Asks ``served`` every ``pause`` seconds, until it is told to stop."""

    kind: str
    pause = 0.0

    def __init__(self, served: Served, tally: Tally) -> None:
        self.served = served
        self.tally = tally
        self.http = httpx.Client(base_url=served.http, timeout=TIMEOUT)
        self.grpc = grpc.insecure_channel(served.grpc)
        self._done = Event()
        self._thread = Thread(target=self._run, name=self.kind)

    @abstractmethod
    def ask(self) -> None:
        """Once. Raises what says that there was no answer."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; that the server goes away is no failure from now on."""
        self._done.set()

    @property
    def is_stopped(self) -> bool:
        """Whether the server may have gone away."""
        return self._done.is_set()

    def join(self) -> None:
        """Wait until the last answer has come."""
        self._thread.join()
        self.http.close()
        self.grpc.close()

    def note(self, answer: httpx.Response, *allowed: int) -> bool:
        """Count an answer; whether it is a good one."""
        self.tally.note(self.kind, answer.status_code, allowed, answer.text if answer.is_error else "")
        return answer.status_code == allowed[0]

    def check(self, got: object, expected: object) -> None:
        """Count an answer that says something else than it should."""
        if got != expected:
            self.tally.note_wrong(self.kind, got, expected)

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                self.ask()
            except Exception as error:  # noqa: BLE001 whatever it is, it is part of the report
                if not self._done.is_set():
                    self.tally.fail(self.kind, error)
            self._done.wait(self.pause)


class Steady(Client):
    """Asks a model that nothing is done to, each of whose answers has to be right."""

    def ask(self) -> None:
        """Once, with its time."""
        begun = time.monotonic()
        self.predict()
        self.tally.note_seconds(time.monotonic() - begun)

    @abstractmethod
    def predict(self) -> None:
        """Ask, and check the answer."""

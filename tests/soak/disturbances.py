"""What befalls a server from without: its wall clock jumps, and it stands still for a while."""

import random
import signal
from abc import ABC, abstractmethod
from threading import Event, Thread

from soak.served import Served
from soak.tally import Tally
from soak.wall_clock import WallClock

_JUMPS = (0, -1, 3600, -3600, 86_400, -86_400 * 400, 2**31)


class Disturbance(ABC):
    """Disturbs ``served`` every ``pause`` seconds, in a thread, as a client asks."""

    kind: str
    pause: float

    def __init__(self, served: Served, tally: Tally) -> None:
        self.served = served
        self._tally = tally
        self._done = Event()
        self._thread = Thread(target=self._run, name=self.kind)

    @abstractmethod
    def disturb(self) -> None:
        """Once."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Disturb no more."""
        self._done.set()

    def join(self) -> None:
        """Wait until it disturbs no more."""
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self.pause):
            self.disturb()
            self._tally.note(self.kind, "done", ["done"])


class ClockJumps(Disturbance):
    """Sets the wall clock forward and back, by up to decades."""

    kind = "jumps of the clock"
    pause = 2.0

    def __init__(self, served: Served, tally: Tally, clock: WallClock) -> None:
        super().__init__(served, tally)
        self._clock = clock

    def disturb(self) -> None:
        self._clock.set(random.choice(_JUMPS))


class Pauses(Disturbance):
    """Stops the server for up to a second, as a machine does that is moved; its models run on."""

    kind = "pauses of the server"
    pause = 7.0

    def disturb(self) -> None:
        self.served.process.send_signal(signal.SIGSTOP)
        self._done.wait(random.uniform(0.1, 1))
        self.served.process.send_signal(signal.SIGCONT)

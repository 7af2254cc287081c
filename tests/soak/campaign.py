"""All at once, for hours: `make soak-hours`.

Models are reloaded, crash and hang, clients upload, ask too much and go away, the disk is full, the clock jumps. Every
server is killed after some minutes, and the next has to find all that was acknowledged and sweep what was left.
"""

import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from kill_campaign import Model
from soak.changing_clients import AsksVersions, BadUploads, FillsDisk, Publishes, Uploads
from soak.client import TIMEOUT
from soak.disk import Disk
from soak.disturbances import ClockJumps, Pauses
from soak.harmful_clients import HARMFUL
from soak.left_behind import LeftBehind
from soak.load import Load, Resources, resources_of, under
from soak.report import Shown, report, shown
from soak.served import Served, prepared, served
from soak.steady_clients import STEADY
from soak.tally import Tally
from soak.wall_clock import WallClock

_DISK = 256 * 2**20
_SHORTEST, _LONGEST = 40.0, 300.0
"""Seconds that a server lives."""
_UPLOADERS = 2
_LAST = 2.0
"""Seconds of load before a server is killed."""


@dataclass
class Campaign:
    """The servers, one after the other."""

    folder: Path
    disk: Disk
    clock: WallClock
    environment: Mapping[str, str]
    tally: Tally
    shown: Shown

    def __post_init__(self) -> None:
        root = self.disk.path
        self.models = [Model(f"up{number}", root, random.Random(number)) for number in range(_UPLOADERS)]
        self.left = LeftBehind(self.folder)
        self.growths: list[Resources] = []
        self.kills = 0

    def run(self, seconds: float) -> None:
        """Let servers live one after the other, the last of which ends as it should."""
        end = time.monotonic() + seconds
        life = min(max(seconds / 4, _SHORTEST), _LONGEST)
        dead: Served | None = None
        while (left := end - time.monotonic()) > 0 or dead is None:
            dead = self._live(min(life, max(left, _SHORTEST)), dead)
        self.shown.tell("the last server starts, and ends")
        with self._started(dead) as last:
            last.look()
            last.process.send_signal(signal.SIGTERM)
            last.process.wait(60)
        self.left.look(last, servers=0)

    def _live(self, seconds: float, dead: Served | None) -> Served:
        self.shown.tell(f"server {self.kills + 1} starts")
        with self._started(dead) as now:
            for half in ("first", "second"):
                self.shown.tell(f"server {self.kills + 1}, {half} half")
                with under(self._loads(now)):
                    self._wait(now, seconds / 2)
                found = resources_of(now)
                if half == "first":
                    before = found
            self.growths.append(before.grown_to(found))
            self.shown.tell(f"server {self.kills + 1} is killed")
            loads = self._loads(now)
            with under(loads):
                self._wait(now, _LAST)
                for one in loads:
                    one.stop()
                now.process.kill()
        self.kills += 1
        return now

    @contextmanager
    def _started(self, dead: Served | None) -> Iterator[Served]:
        """A server, which has all that was acknowledged by the one that is dead, and swept what that left."""
        with served(self.folder, self.environment) as now:
            if dead is not None:
                self.left.look(dead, servers=1)
            with httpx.Client(base_url=now.http, timeout=TIMEOUT) as client:
                for model in self.models:
                    try:
                        model.check(client)
                    except AssertionError as error:
                        self.tally.note_wrong("what was acknowledged", error, "it")
            yield now

    def _wait(self, now: Served, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            now.look()
            time.sleep(0.2)

    def _loads(self, now: Served) -> list[Load]:
        tally = self.tally
        clients = [kind(now, tally) for kind in (*STEADY, *HARMFUL, Publishes, AsksVersions, BadUploads)]
        uploads = [Uploads(now, tally, model) for model in self.models]
        return [
            *clients,
            *uploads,
            FillsDisk(now, tally, self.disk),
            ClockJumps(now, tally, self.clock),
            Pauses(now, tally),
        ]


def main(hours: float) -> int:
    """Print what became of it; the exit code says whether all was well."""
    seconds, tally = 3600 * hours, Tally()
    with tempfile.TemporaryDirectory() as place, shown(tally, seconds) as progress:
        folder = Path(place)
        disk = Disk(folder / "models", _DISK)
        try:
            clock = WallClock(folder)
            campaign = Campaign(folder, disk, clock, prepared(folder, clock.environment()), tally, progress)
            campaign.run(seconds)
        finally:
            disk.close()
    return 0 if report(tally, campaign.growths, campaign.left.found, campaign.kills) else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))

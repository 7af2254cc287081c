"""The wall clock of a server, which can be set forward and back while that of the machine stays."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


class WallClock:
    """Needs a C compiler, ``cc``; its files lie in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._library, self._offset = folder / "wall_clock.so", folder / "wall_clock"
        self.set(0)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self._library, _SOURCE], check=True)

    def environment(self) -> Mapping[str, str]:
        """Variables with which a process, and those that it starts, have this clock."""
        return {"LD_PRELOAD": str(self._library), "JUMPING_CLOCK": str(self._offset)}

    def set(self, seconds: int) -> None:
        """Let it be so many ``seconds`` off."""
        with self._offset.open("r+b" if self._offset.exists() else "wb") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))

"""An environment for each peer, made by uv when it is first needed."""

import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from shutil import which

from artifacts import BUILD
from serving.peers import Peer

INSTALL_SECONDS = 900


class NotInstalled(Exception):
    """A peer has no environment here; its text says why."""


@cache
def python_of(peer: Peer) -> Path:
    """The interpreter of an environment that has the peer's packages. Raises `NotInstalled`."""
    if not peer.packages:
        return Path(sys.executable)
    folder = BUILD / "environments" / peer.name.partition(",")[0].lower().replace(" ", "-")
    wanted = "\n".join([*peer.packages, f"onnxruntime=={version('onnxruntime')}"])
    made = folder / "made"
    if not made.exists() or made.read_text() != wanted:
        _uv("venv", "--quiet", "--clear", "--python", peer.python or sys.executable, str(folder))
        _uv("pip", "install", "--quiet", "--python", str(folder / "bin/python"), *wanted.split("\n"))
        made.write_text(wanted)
    return folder / "bin" / "python"


def _uv(*arguments: str) -> None:
    uv = which("uv") or str(Path(sys.executable).with_name("uv"))
    try:
        subprocess.run([uv, *arguments], check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"its installation took more than {INSTALL_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise NotInstalled(f"it cannot be installed: {' '.join(error.stderr.split())[-300:]}") from None

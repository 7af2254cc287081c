"""A server of the models of the campaign, as a process of its own."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import psutil

from mlbuffet.server.processes.temporary_files import PREFIX
from processes import address_in, environment_with, read_until, serve
from small_runtimes import write_models

_RUNTIMES = {
    "half": "small_runtimes:HalfPlusTwo",
    "echo": "small_runtimes:Echo",
    "sleep": "small_runtimes:Sleep",
    "adds": "reloading:Adds",
    "bad": "misbehaving:Misbehaving",
}
_MODELS = {
    "half.half": "half",
    "e.echo": "float32 object",
    "slow/1/a.sleep": "",
    "slow/model.toml": "[scheduling]\nmax_concurrency = 1\nmax_queue = 2\n",
    "m/1/x.add": "1",
    "m/model.toml": 'versions = "latest"\n',
    "crash/1/a.bad": "",
    "crash/model.toml": '[process]\ninstances = 2\nmemory = "1GiB"\n',
    "crash-grpc/1/a.bad": "",
    "crash-grpc/model.toml": '[process]\nmemory = "1GiB"\n',
    "hang/1/a.bad": "",
    "hang/model.toml": "[process]\ntimeout = 1\n",
}


@dataclass
class Served:
    """The server, and where it is."""

    process: subprocess.Popen[str]
    models: Path
    http: str
    grpc: str
    seen: dict[int, psutil.Process] = field(default_factory=dict)
    """Its processes of models, and what they started, by their ids."""

    def look(self) -> list[psutil.Process]:
        """The processes that it has now, itself the first."""
        own = psutil.Process(self.process.pid)
        children = own.children(recursive=True)
        self.seen |= {one.pid: one for one in children}
        return [own, *children]


def prepared(folder: Path, own: Mapping[str, str]) -> dict[str, str]:
    """Models in ``folder``, and the environment of their servers, in which ``own`` is set."""
    write_models(folder / "models", _MODELS)
    (folder / "temporary").mkdir()
    entries = [f"{name} = {place}" for name, place in _RUNTIMES.items()]
    environment = environment_with(folder / "site", entries)
    return {**environment, "TMPDIR": str(folder / "temporary"), "PYTHONDONTWRITEBYTECODE": "1", **own}


@contextmanager
def served(folder: Path, environment: Mapping[str, str]) -> Iterator[Served]:
    """Serve the models in ``folder``; whatever happens, the server has ended then."""
    options = ("--isolate", "--watch", "--grpc-port", 0)
    with (folder / "log").open("a") as log:
        process = serve({**environment}, folder / "models", *options, stderr=log)
        try:
            shown = read_until(process, "serving on")
            (grpc,) = re.findall(r"serving gRPC on (\S+)", shown)
            drain = Thread(target=process.communicate)  # what it says does not make it wait
            drain.start()
            yield Served(process, folder / "models", address_in(shown), grpc)
        finally:
            process.kill()
            process.wait()


def temporary_folders(folder: Path) -> set[Path]:
    """Those of servers."""
    return set((folder / "temporary").glob(f"{PREFIX}*"))


def shared_memory() -> set[str]:
    """What has a name in this machine's shared memory."""
    return set(os.listdir("/dev/shm"))  # noqa: PTH208 only names

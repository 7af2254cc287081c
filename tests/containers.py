"""Containers of manifests as processes: the command of their image, at places and ports that are free here."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from dockerfile import Image, our_image
from redis_server import free_port
from waiting import wait_for

Manifest = Mapping[str, Any]


def command_of(container: Manifest, image: Image) -> list[str]:
    """What a container runs: a ``command`` takes the place of the image's entry point and of its command."""
    entrypoint, arguments = container.get("command"), container.get("args")
    if entrypoint is None:
        return [*image.entrypoint, *(image.command if arguments is None else arguments)]
    return [*entrypoint, *(arguments or [])]


def environment_of(container: Manifest, image: Image) -> dict[str, str]:
    """What stands in the environment of a container, with the programs of this environment, and without HOME."""
    said = {one["name"]: one["value"] for one in container.get("env", [])}
    programs = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]), "MLBUFFET_HOST": "127.0.0.1"}
    return {**image.environment, **said, **programs}


def moved(text: str, places: Mapping[str, Path]) -> str:
    """``text`` with folders of this machine for those of the container."""
    for path, here in places.items():
        text = re.sub(rf"(?<![\w/]){re.escape(path)}(?![\w-])", str(here), text)
    return text


@dataclass
class Server:
    """A container that serves."""

    process: "subprocess.Popen[bytes]"
    ports: Mapping[str, int]
    log: Path

    def client(self) -> httpx.Client:
        address = f"http://127.0.0.1:{self.ports['--port']}"
        return httpx.Client(base_url=address, timeout=30, trust_env=False, verify=False)

    def status(self, path: str) -> int:
        """The status of an answer, or 0 where none comes."""
        with self.client() as client, suppress(httpx.TransportError):
            return client.get(path).status_code
        return 0

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self.status("/v2/health/ready") == 200

    def stop(self) -> int:
        """End it without what is left of --drain, which the second SIGTERM skips."""
        self.process.terminate()
        wait_for(lambda: self.status("/v2/health/ready") != 200)
        self.process.terminate()
        return self.process.wait(60)

    def probe(self, probe: Manifest) -> int:
        """The status that a probe of the manifest gets."""
        return self.status(probe["httpGet"]["path"])


def run_once(container: Manifest, folder: Path, places: Mapping[str, Path]) -> None:
    """An init container, to its end."""
    environment = environment_of(container, our_image()) | {"XDG_CACHE_HOME": str(folder / "cache")}
    command = [moved(word, places) for word in command_of(container, our_image())]
    subprocess.run(command, env=environment, check=True, cwd="/", timeout=60)


@contextmanager
def served(container: Manifest, folder: Path, places: Mapping[str, Path], also: Sequence[str] = ()) -> Iterator[Server]:
    """The server of a container, once it is ready; it ends cleanly, by itself."""
    words = [moved(word, places) for word in command_of(container, our_image())]
    ports = {name: free_port() for name in ("--port", "--grpc-port")}
    words = [re.sub(r"^(--\S*port)=\d+$", lambda found: f"{found[1]}={ports[found[1]]}", word) for word in words]
    environment = environment_of(container, our_image())
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "TMPDIR": str(folder)}
    environment["MLBUFFET_PORT"] = str(ports["--port"])
    log = folder / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [*words, *also], env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=written, stderr=written
        )
    try:
        server = Server(process, ports, log)
        wait_for(server.is_ready, 120)
        yield server
        assert server.stop() in (0, -15), log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()

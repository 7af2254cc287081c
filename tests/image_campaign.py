"""deploy/Dockerfile built step by step in roots of Debian, and its containers started, asked and stopped; as root.

A container has a mount and a process namespace of its own, a root that cannot be written, 512 MiB, and a user without a
name and without HOME. It differs from Docker's: the Python is Debian's instead of that of python:slim, the network is
this machine's, and no capabilities or system calls are taken away but those that a user other than root does not have.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from dockerfile import DOCKERFILE, Image, our_image
from image_root import Builder
from redis_server import free_port
from waiting import wait_for

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build/image"
USER = "54321:54321"
MEMORY = 512 << 20
FLOWER = {"inputs": {"measurements": [[5.1, 3.5, 1.4, 0.2]]}}
GROUPS = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
INITS: dict[str, list[str]] = {
    "as the first process": [],
    "under tini": ["/inits/tini-static", "--"],
    "under dumb-init": ["/inits/dumb-init", "--"],
}

CONTAINER = """
echo $$ > "$GROUP/cgroup.procs"
mount --bind "$ROOT" "$ROOT"
mount --bind "$MODELS" "$ROOT/models" && mount -o remount,bind,ro "$ROOT/models"
mount --bind "$INITS" "$ROOT/inits"
mount -t proc proc "$ROOT/proc"
test -z "$TMPFS" || mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -o remount,bind,ro "$ROOT"
exec chroot --userspec="$USERSPEC" --groups= "$ROOT" "$@"
"""


@dataclass(frozen=True)
class MemoryGroup:
    """A control group with a limit, of either version of cgroups."""

    folder: Path

    @property
    def most(self) -> int:
        """The most that its processes have had, files in the page cache included."""
        first = self.folder / "memory.max_usage_in_bytes"
        return int((first if first.exists() else self.folder / "memory.peak").read_text())


@contextmanager
def memory_group(limit: int) -> Iterator[MemoryGroup]:
    """A group for one container; it is empty afterwards."""
    (parent, name) = (GROUPS[0], "memory.limit_in_bytes") if GROUPS[0].is_dir() else (GROUPS[1], "memory.max")
    folder = parent / f"mlbuffet-image-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / name).write_text(str(limit))
        yield MemoryGroup(folder)
    finally:
        folder.rmdir()


@dataclass
class Container:
    """One that runs."""

    process: subprocess.Popen[bytes]
    address: str
    first: psutil.Process
    group: MemoryGroup

    def answers(self, client: httpx.Client) -> bool:
        try:
            return client.post(f"{self.address}/v1/models/iris:predict", json=FLOWER).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, name: str) -> int:
        self.first.send_signal(signal.Signals[name])
        return self.process.wait(60)


@contextmanager
def container(root: Path, image: Image, models: Path, init: Sequence[str] = (), *, tmpfs: bool) -> Iterator[Container]:
    """A container of the image that serves ``models``, without a process of another beside it."""
    port = free_port()
    environment = {**image.environment, "MLBUFFET_PORT": str(port), "MLBUFFET_HOST": "127.0.0.1"}
    command = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
    command += [*init, *image.entrypoint, *image.command]
    with memory_group(MEMORY) as group:
        given = {"ROOT": root, "MODELS": models, "INITS": FOLDER / "inits", "GROUP": group.folder, "USERSPEC": USER}
        variables = {name: str(value) for name, value in given.items()} | {"TMPFS": "yes" if tmpfs else ""}
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", CONTAINER, "sh", *command],
            env=os.environ | variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            wait_for(psutil.Process(process.pid).children)
            (first,) = psutil.Process(process.pid).children()
            yield Container(process, f"http://127.0.0.1:{port}", first, group)
        finally:
            process.kill()
            process.wait()
            wait_for(lambda: not (group.folder / "cgroup.procs").read_text())


def built() -> Path:
    """The root of the image."""
    root = Builder(ROOT, FOLDER, dict(word.split("=", 1) for word in sys.argv[1:])).build(DOCKERFILE)
    for name in ("models", "inits", "proc"):
        (root / name).mkdir(exist_ok=True)
    (FOLDER / "inits").mkdir(exist_ok=True)
    for name in ("tini-static", "dumb-init"):
        subprocess.run(["cp", f"/usr/bin/{name}", FOLDER / "inits"], check=True)
    return root


def unwanted(root: Path) -> list[str]:
    """Tools that an image which is served from has no use for."""
    folders = [root / name for name in ("usr/bin", "usr/local/bin", "opt/mlbuffet/bin")]
    names = ("gcc", "cc", "g++", "make", "git", "curl", "wget")
    found = [folder / name for folder in folders for name in names if (folder / name).exists()]
    return [str(one.relative_to(root)) for one in [*found, *root.glob("opt/mlbuffet/bin/pip*")]]


def megabytes(folder: Path) -> int:
    """What lies in it."""
    return int(subprocess.run(["du", "-sm", folder], check=True, capture_output=True, text=True).stdout.split()[0])


def rehearse(root: Path, image: Image, models: Path, name: str, init: Sequence[str], *, tmpfs: bool) -> bool:
    """Start one, ask it, look at it, stop it; whether all of it is as it should be."""
    as_user = ["chroot", f"--userspec={USER}", str(root), "env", "-i"]
    started = time.perf_counter()
    with container(root, image, models, init, tmpfs=tmpfs) as running, httpx.Client(trust_env=False) as client:
        wait_for(lambda: running.answers(client), 60)
        answered = time.perf_counter() - started
        healthy = subprocess.run(
            [*as_user, f"MLBUFFET_PORT={running.address.rpartition(':')[2]}", *image.healthcheck], check=False
        ).returncode
        memory = max(one.memory_info().rss for one in [running.first, *running.first.children(recursive=True)])
        identity = running.first.uids().real, running.first.environ().get("HOME")
        begin = time.perf_counter()
        code = running.stop(image.stop_signal)
        stopped = time.perf_counter() - begin
        left = running.process.stderr.read().decode() if running.process.stderr else ""
        most = running.group.most
    print(
        f"{name:32} first answer after {answered:.2f} s; resident {memory >> 20} MiB, at most {most >> 20} MiB of "
        f"{MEMORY >> 20}; HEALTHCHECK {healthy}; {image.stop_signal}: exit code {code} after {stopped:.2f} s"
    )
    if left:
        print(left)
    return identity == (54321, None) and healthy == 0 and code in (0, 128 + 15) and "Traceback" not in left


def main() -> int:
    """Build and rehearse; the exit code says whether something was not as it should be."""
    begin = time.perf_counter()
    root, image = built(), our_image()
    print(f"built in {time.perf_counter() - begin:.0f} s: {megabytes(root)} MB, {megabytes(root / 'opt')} of them ours")
    print(f"build tools in it: {', '.join(unwanted(root)) or 'none'}")
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        Path(folder).chmod(0o755)
        train = [sys.executable, str(ROOT / "examples/train_iris_onnx.py"), str(Path(folder, "iris/1"))]
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
        right = [
            rehearse(root, image, Path(folder), f"{name}, {'a' if tmpfs else 'no'} /tmp", init, tmpfs=tmpfs)
            for name, init in INITS.items()
            for tmpfs in (True, False)
        ]
    return not (all(right) and not unwanted(root))


if __name__ == "__main__":
    sys.exit(main())

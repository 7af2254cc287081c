"""A server that is killed at random moments while clients change models; nothing is in part, and nothing is lost."""

import io
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import httpx

from mlbuffet.repository.default_file import read_default_version
from mlbuffet.repository.staging import FOLDER_NAME
from processes import address_of, environment_with_runtimes, serve

MODELS = 3
LONGEST = 1.5
"""How many seconds a server lives at most, once it serves."""


def files_of(identity: str) -> dict[str, bytes]:
    """What an upload holds, which follows from its name."""
    chance = random.Random(identity)
    return {"model.half": b"half", **{f"assets/{number}": chance.randbytes(50_000) for number in range(8)}}


def archive_of(identity: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files_of(identity).items():
            archive.writestr(name, content)
    return buffer.getvalue()


@dataclass
class Model:
    """One model, and the one client that changes it: what was acknowledged, and what was asked last."""

    name: str
    root: Path
    chance: random.Random
    versions: dict[int, str] = field(default_factory=dict)
    chosen: int | None = None
    asked: tuple[str, int, str] | None = None
    done: Counter[str] = field(default_factory=Counter)
    uploads: int = 0

    @property
    def default(self) -> int | None:
        return self.chosen or max(self.versions, default=None)

    def work(self, client: httpx.Client) -> None:
        """Ask for one change after the other until the server is gone; in every second life the quick ones."""
        quick = self.chance.random() < 0.5
        with suppress(httpx.TransportError):
            while True:
                self.change(client, self.choose(quick=quick))

    def choose(self, *, quick: bool = False) -> str:
        """The next change by chance."""
        what = self.chance.choice(["default"] * 8 + ["delete"] if quick else ["upload", "default", "delete"])
        return "upload" if len(self.versions) < 2 else what

    def change(self, client: httpx.Client, what: str) -> None:
        """Ask for it, and note what was acknowledged."""
        address = f"/api/v1/models/{self.name}"
        number = self.chance.choice(sorted(self.versions)) if self.versions else 0
        if what == "upload":
            self.uploads += 1
            identity = f"{self.name} {self.uploads}"
            content = archive_of(identity)
            self.asked = ("upload", 0, identity)
            form = {"files": {"path": ("x.zip", content)}, "data": {"model_description": identity}}
            answer = client.post(address, **form)  # type: ignore[arg-type]
            assert answer.status_code == 201, answer.text
            self.versions[answer.json()["version"]] = identity
            self.chosen = None
        elif what == "default":
            self.asked = ("default", number, "")
            answer = client.post(f"{address}/default", json={"default": number})
            assert answer.status_code == 200, answer.text
            self.chosen = number
        else:
            self.asked = ("delete", number, "")
            answer = client.delete(f"{address}:{number}")
            assert answer.status_code == 200, answer.text
            del self.versions[number]
            self.chosen = None if self.chosen == number else self.chosen
        self.done[self.asked[0]] += 1
        self.asked = None

    def check(self, client: httpx.Client) -> None:
        """Hold what is there now against what was acknowledged; what was only asked for may have happened or not."""
        answer = client.get(f"/api/v1/models/{self.name}/information")
        told = answer.json().get("tag_list_versions", {})
        versions = {int(number): one["description"] for number, one in told.items()}
        allowed = [(self.versions, self.default)]
        match self.asked:
            case "upload", _, identity:
                new = {number: one for number, one in versions.items() if one == identity}
                both = {**self.versions, **new}
                allowed += [(both, max(both, default=None)), (both, self.chosen or max(both, default=None))]
            case "default", number, _:
                allowed.append((self.versions, number))
            case "delete", number, _:
                rest = {other: one for other, one in self.versions.items() if other != number}
                allowed.append((rest, max(rest, default=None) if self.chosen in (None, number) else self.chosen))
        assert (versions, answer.json().get("default_version")) in allowed, (versions, answer.text, allowed, self.asked)
        folder = self.root / self.name
        for number, identity in versions.items():
            content = {name: (folder / str(number) / name).read_bytes() for name in files_of(identity)}
            assert content == files_of(identity), (self.name, number)
        numbers = {int(path.name) for path in folder.iterdir() if path.name.isdigit()} if folder.is_dir() else set()
        assert numbers == set(versions)
        self.versions, self.chosen, self.asked = versions, read_default_version(folder), None
        self.chosen = self.chosen if self.chosen in versions else None
        if versions:
            answer = client.post(f"/api/v1/models/{self.name}/prediction", json={"values": [1]})
            assert answer.json()["values"] == [2.5], answer.text


def started(environment: dict[str, str], root: Path) -> tuple[subprocess.Popen[str], httpx.Client]:
    """A server in whose folder nothing is left of those that were killed."""
    process = serve(environment, root, "--watch")
    client = httpx.Client(base_url=address_of(process), timeout=60)
    assert not list(root.glob(f"{FOLDER_NAME}/*")), "it was not swept"
    return process, client


def campaign(folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kill so many servers; the result says how many changes of which kind were acknowledged and interrupted."""
    chance = random.Random(seed)
    root = folder / "models"
    root.mkdir()
    environment = environment_with_runtimes(folder)
    models = [Model(f"m{number}", root, random.Random(f"{seed} {number}")) for number in range(MODELS)]
    interrupted: Counter[str] = Counter()
    for _ in range(kills):
        process, client = started(environment, root)
        try:
            for model in models:
                model.check(client)
            threads = [Thread(target=model.work, args=[client]) for model in models]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0, LONGEST))
        finally:
            process.kill()
            process.communicate()
        for thread in threads:
            thread.join()
        client.close()
        interrupted.update(f"{model.asked[0]} interrupted" for model in models if model.asked)
    process, client = started(environment, root)
    try:
        for model in models:
            model.check(client)
    finally:
        client.close()
        process.terminate()
        process.communicate(timeout=30)
    return sum((model.done for model in models), interrupted)


def main(kills: int, seed: int) -> None:
    """Print what became of it."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        counts = campaign(Path(folder), kills, seed)
    print(f"{kills} kills in {time.perf_counter() - begin:.0f} s (seed {seed}); acknowledged and interrupted changes:")
    for what in sorted(counts):
        print(f"  {counts[what]:5} {what}")
    print("no version in part, nothing lost that was acknowledged, nothing left behind")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32))

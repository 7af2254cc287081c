"""Clients that change models: new versions on disk and uploads, good, bad, and too large for the disk."""

import random
import shutil
from errno import ENOSPC
from itertools import cycle

import kill_campaign
from reloading import BODY, write_whole
from soak.client import Client
from soak.disk import Disk
from soak.served import Served
from soak.tally import Tally
from uploading import zipped


class Publishes(Client):
    """Puts versions of ``m`` on disk, each tenth corrupt, and takes away those before the one that answers."""

    kind = "versions on disk"
    pause = 1.0

    def ask(self) -> None:
        folder = self.served.models / "m"
        numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
        new = numbers[-1] + 1
        try:
            write_whole(folder / str(new) / "x.add", "corrupt" if new % 10 == 0 else str(new % 7))
        except OSError as error:
            if error.errno != ENOSPC:
                raise
            self.tally.note(self.kind, "no space", ["no space"])
            return
        answer = self.http.post("/v2/models/m/infer", json=BODY)
        serves = int(answer.json()["model_version"]) if answer.is_success else 0
        for old in numbers:
            if old < serves:
                (folder / str(old)).rename(folder / ".removed")
                shutil.rmtree(folder / ".removed")
        self.tally.note(self.kind, "published", ["published"])


class AsksVersions(Client):
    """Asks the model whose versions come and go, and holds each answer against the version that it names.

    A server may find a corrupt version as the latest, and then has none until the next.
    """

    kind = "/v2, reloaded"
    pause = 0.01
    answered = False

    def ask(self) -> None:
        answer = self.http.post("/v2/models/m/infer", json=BODY)
        if self.note(answer, *([200] if self.answered else [200, 503])):
            self.answered = True
            version = int(answer.json()["model_version"])
            self.check(answer.json()["outputs"][0]["data"], [10 + version % 7])


class Uploads(Client):
    """Uploads, chooses and removes versions of a model of its own, of which nothing may be lost or in part."""

    kind = "uploads"
    pause = 0.5

    def __init__(self, served: Served, tally: Tally, model: kill_campaign.Model) -> None:
        super().__init__(served, tally)
        self.model = model

    def ask(self) -> None:
        if self.model.asked is None:
            what = self.model.choose()
            try:
                self.model.change(self.http, what)
            except AssertionError as error:
                if "no space left" not in str(error):
                    raise
                self.tally.note(f"{self.kind}, {what}", "no space", ["no space"])  # another fills the disk meanwhile
            else:
                self.tally.note(f"{self.kind}, {what}", "acknowledged", ["acknowledged"])
        else:  # it did not go well, which was noted
            self.model.check(self.http)


class BadUploads(Client):
    """Uploads what is no model, of which nothing may be seen."""

    kind = "bad uploads"
    pause = 1.0
    files = cycle(
        {
            "corrupt": {"model.half": b"wrong"},
            "outside": {"../model.half": b"half"},
            "of no runtime": {"model.none": b"half"},
            "crashing": {"model.bad": b"segfault"},
            "in part": {"model.half": b"half"},
        }.items()
    )

    def ask(self) -> None:
        what, files = next(self.files)
        content = zipped(files)
        content = content[: len(content) // 2] if what == "in part" else content
        answer = self.http.post("/api/v1/models/bad-upload", files={"path": ("x.zip", content)})
        self.note(answer, 422)
        self.note(self.http.get("/v2/models/bad-upload"), 404)


class FillsDisk(Client):
    """Uploads what the disk has no room for."""

    kind = "uploads to a full disk"
    pause = 5.0

    def __init__(self, served: Served, tally: Tally, disk: Disk) -> None:
        super().__init__(served, tally)
        self._disk = disk

    def ask(self) -> None:
        content = zipped({"model.half": b"half", "large": random.randbytes(24 * 2**20)})
        with self._disk.filled(leaving=12 * 2**20):
            answer = self.http.post("/api/v1/models/large", files={"path": ("x.zip", content)})
            self.note(answer, 507)

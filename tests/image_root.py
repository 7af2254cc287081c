"""An image without a daemon: the steps of a Dockerfile, run in roots that debootstrap makes."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile import Stage, Step, argument, expanded, stages_of

DEBIAN = ["debootstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-pip,python3-venv", "bookworm"]
"""Instead of python:3.11-slim-bookworm, whose Python is one of its own in /usr/local: Debian's, with pip and venv."""
PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OF_THE_NETWORK = ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt")
"""What a builder gives to its steps."""


def debian(folder: Path) -> Path:
    """The root of Debian with Python that stages begin with; made only once."""
    if not (folder / "usr/bin/python3").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # what it mounts below the folder ends with its namespace
        subprocess.run(["unshare", "--mount", *DEBIAN, folder], check=True, stdout=subprocess.DEVNULL)
    return folder


@dataclass
class Builder:
    """Builds stages from files in ``context``, each in a root below ``folder``."""

    context: Path
    folder: Path
    arguments: Mapping[str, str]
    roots: dict[str, Path] = field(default_factory=dict)

    def build(self, dockerfile: Path) -> Path:
        """The root of the last stage."""
        root = self.folder
        for number, stage in enumerate(stages_of(dockerfile.read_text(), self.arguments)):
            root = self.folder / (stage.name or f"stage-{number}")
            shutil.rmtree(root, ignore_errors=True)
            subprocess.run(["cp", "-a", debian(self.folder / "debian"), root], check=True)
            _StageBuilder(self, root).build(stage)
            self.roots[stage.name] = root
        return root


@dataclass
class _StageBuilder:
    builder: Builder
    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    folder: str = "/"

    def build(self, stage: Stage) -> None:
        for step in stage.steps:
            self.run(step)

    def run(self, step: Step) -> None:
        match step.instruction:
            case "ARG":
                self.environment |= argument(step, self.builder.arguments)
            case "ENV":
                words = Step("ENV", expanded(step.text, self.environment)).words
                self.environment |= dict(word.split("=", 1) for word in words)
            case "WORKDIR":
                self.folder = step.text
                self.inside(self.folder).mkdir(parents=True, exist_ok=True)
            case "COPY":
                self.copy(step.words)
            case "RUN":
                self.run_shell(step.text)
            case "LABEL" | "USER" | "EXPOSE" | "STOPSIGNAL" | "HEALTHCHECK" | "ENTRYPOINT" | "CMD":
                pass  # these are said of containers
            case other:
                raise ValueError(f"this builder does not know {other}")

    def inside(self, path: str) -> Path:
        return self.root / os.path.join(self.folder, path).lstrip("/")  # noqa: PTH118  # of a path in the root

    def copy(self, words: Sequence[str]) -> None:
        """As COPY does: the content of a folder, and files into a folder where its name ends so."""
        *sources, target = [word for word in words if not word.startswith("--from=")]
        stages = [word.removeprefix("--from=") for word in words if word.startswith("--from=")]
        start = self.builder.roots[stages[0]] if stages else self.builder.context
        ignored = None if stages else self.ignored()
        for source in (start / name.lstrip("/") for name in sources):
            if source.is_dir():
                shutil.copytree(source, self.inside(target), symlinks=True, ignore=ignored, dirs_exist_ok=True)
            else:
                into = self.inside(target) / source.name if target.endswith("/") else self.inside(target)
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, into)

    def ignored(self) -> Callable[[str, list[str]], set[str]]:
        """What .dockerignore leaves out of the context wherever it is."""
        rules = (self.builder.context / ".dockerignore").read_text().split()
        return shutil.ignore_patterns(*(rule[3:] for rule in rules if rule.startswith("**/")))

    def run_shell(self, command: str) -> None:
        """As RUN does, as root, with the network and the proxies and indexes of pip that this machine has."""
        for name in OF_THE_NETWORK:
            shutil.copy2(Path("/") / name, self.root / name)
        ours = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        variables = [f"{name}={value}" for name, value in (ours | self.environment).items()]
        script = 'mount -t proc proc "$1/proc" && exec chroot "$@"'
        inside = ["/bin/sh", "-c", 'cd "$1" && exec /bin/sh -c "$2"', "sh", self.folder, command]
        of_its_own = ["unshare", "--mount", "sh", "-c", script, "sh", str(self.root)]
        with (self.builder.folder / "build.log").open("ab") as log:
            subprocess.run([*of_its_own, "env", "-i", *variables, *inside], check=True, stdout=log, stderr=log)

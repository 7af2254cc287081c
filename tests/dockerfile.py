"""What a Dockerfile says: its stages, the steps of each, and how containers of the last one are started."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

DOCKERFILE = Path(__file__).parents[1] / "deploy/Dockerfile"


@dataclass(frozen=True)
class Step:
    """One instruction, on one line, as it is written."""

    instruction: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words, in whichever form they are written."""
        return [str(word) for word in json.loads(self.text)] if self.text.startswith("[") else shlex.split(self.text)


@dataclass
class Stage:
    """What comes between one FROM and the next."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)


@dataclass
class Image:
    """With what a container is started."""

    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    user: str = "root"
    stop_signal: str = ""


def stages_of(text: str, arguments: Mapping[str, str] | None = None) -> list[Stage]:
    """The stages, with build arguments other than those that the file gives."""
    arguments = arguments or {}
    stages: list[Stage] = []
    known: dict[str, str] = {}
    for step in _steps(text):
        if step.instruction == "FROM":
            base, *name = expanded(step.text, known).split(" AS ")
            stages.append(Stage(base, name[0] if name else ""))
        elif stages:
            stages[-1].steps.append(step)
        else:
            known |= argument(step, arguments)
    return stages


def argument(step: Step, arguments: Mapping[str, str]) -> dict[str, str]:
    """The build argument of an ARG, by its name; nothing where nobody gives it a value."""
    (word,) = step.words
    name, _, value = word.partition("=")
    return {name: arguments.get(name, value)} if name in arguments or "=" in word else {}


def expanded(text: str, values: Mapping[str, str]) -> str:
    """``text`` with the values of its variables."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values.get(found[1], ""), text)


def image_of(stage: Stage, arguments: Mapping[str, str] | None = None) -> Image:
    """What the steps of a stage say about its containers."""
    image, known = Image(), dict[str, str]()
    for step in stage.steps:
        match step.instruction:
            case "ARG":
                known |= argument(step, arguments or {})
            case "ENV":
                image.environment |= _pairs(expanded(step.text, known | image.environment))
            case "LABEL":
                image.labels |= _pairs(expanded(step.text, known | image.environment))
            case "USER":
                image.user = step.text
            case "STOPSIGNAL":
                image.stop_signal = step.text
            case "HEALTHCHECK":
                image.healthcheck = Step("CMD", step.text.partition(" CMD ")[2].strip()).words
            case "ENTRYPOINT":
                image.entrypoint = step.words
            case "CMD":
                image.command = step.words
    return image


def our_image() -> Image:
    """That of deploy/Dockerfile."""
    return image_of(stages_of(DOCKERFILE.read_text())[-1])


def _pairs(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(text))


def _steps(text: str) -> Iterator[Step]:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            instruction, _, rest = line.strip().partition(" ")
            yield Step(instruction, rest.strip())

"""What a pipeline.toml says: steps, and where their inputs and the outputs of the whole come from."""

import tomllib
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlbuffet.errors import LoadFailed
from mlbuffet_pipeline._folder import FILE


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call of a model."""

    inputs: dict[str, str]
    """By input of the model: an input of the pipeline, or STEP.OUTPUT."""
    model: str = ""
    """Without it, the model that is called as the step is."""
    signature: str | None = None
    parameters: dict[str, float | int | bool | str] = {}


class Source(NamedTuple):
    """Where a tensor comes from: an output of a ``step``, or with an empty one an input of the pipeline."""

    step: str
    name: str

    def __str__(self) -> str:
        return f"{self.step}.{self.name}" if self.step else self.name


class PipelineFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    steps: dict[str, Step]
    outputs: dict[str, str]
    parameters: dict[str, str] = {}
    """By parameter of the pipeline: STEP.PARAMETER."""
    description: str = ""

    def source(self, text: str) -> Source:
        """What ``text`` means. Raises `LoadFailed` where it means nothing."""
        step, dot, name = text.partition(".")
        if dot and step not in self.steps:
            raise _wrong(f"{text!r}: there is no step {step!r}; the steps are {', '.join(self.steps)}")
        if not dot and text in self.steps:
            raise _wrong(f"{text!r} is a step: write which of its outputs is meant, as in '{text}.OUTPUT'")
        return Source(step, name) if dot else Source("", text)

    def sources(self, step: str) -> dict[str, Source]:
        """Where the inputs of ``step`` come from."""
        return {name: self.source(text) for name, text in self.steps[step].inputs.items()}

    def inputs(self) -> list[str]:
        """The inputs of the whole, in the order in which the file names them."""
        sources = [source for step in self.steps for source in self.sources(step).values()]
        return list(dict.fromkeys(source.name for source in sources if not source.step))

    def givers(self) -> dict[str, set[str]]:
        """By step, those whose outputs it takes."""
        return {name: {one.step for one in self.sources(name).values() if one.step} for name in self.steps}

    def order(self) -> list[str]:
        """The steps, each after those that it needs. Raises `LoadFailed` where they need each other."""
        try:
            return list(TopologicalSorter(self.givers()).static_order())
        except CycleError as error:
            raise _wrong(f"the steps wait for each other in a circle: {' -> '.join(error.args[1])}") from None


def read_pipeline(folder: Path) -> PipelineFile:
    """The pipeline in ``folder``. Raises `LoadFailed`."""
    try:
        content = tomllib.loads((folder / FILE).read_text(encoding="utf-8"))
        pipeline = msgspec.convert(content, PipelineFile)
    except (FileNotFoundError, NotADirectoryError):
        raise LoadFailed(f"there is no {FILE}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _wrong(f"it is no TOML: {error}") from None
    except msgspec.ValidationError as error:
        _check_steps(content)
        raise _wrong(_problem(error) + f"; the keys are {', '.join(PipelineFile.__struct_fields__)}") from None
    _check(pipeline)
    return pipeline


def _check_steps(content: Mapping[str, Any]) -> None:
    """Raises `LoadFailed`, which names the step, where one of them is wrong: msgspec names no keys."""
    steps = content.get("steps")
    for name, step in steps.items() if isinstance(steps, dict) else ():
        try:
            msgspec.convert(step, Step)
        except msgspec.ValidationError as error:
            keys = ", ".join(Step.__struct_fields__)
            raise _wrong(f"the step {name!r}: {_problem(error)}; the keys of a step are {keys}") from None


def _problem(error: msgspec.ValidationError) -> str:
    """What msgspec says, in the words of TOML."""
    text = str(error).replace("Object", "It", 1).replace("`object`", "a table").replace("`", "'").replace("$.", "")
    return text[:1].lower() + text[1:]


def _check(pipeline: PipelineFile) -> None:
    """Raises `LoadFailed` for names that cannot be, and for what is of no use."""
    if not pipeline.outputs:
        raise _wrong("there are no [outputs]; write NAME = 'STEP.OUTPUT' for each")
    if dotted := [name for name in pipeline.steps if "." in name]:
        raise _wrong(f"the step {dotted[0]!r} has a dot in its name; say which model it is with model = {dotted[0]!r}")
    wanted = [pipeline.source(text) for text in pipeline.outputs.values()]
    if unmade := [one for one in wanted if not one.step]:
        raise _wrong(f"{str(unmade[0])!r} is no output of a step; write it as 'STEP.OUTPUT'")
    needed = {one.step for one in wanted}
    for name in reversed(pipeline.order()):
        if name not in needed:
            raise _wrong(f"the step {name!r} is of no use: neither a step nor [outputs] takes what it gives")
        needed |= pipeline.givers()[name]


def _wrong(problem: str) -> LoadFailed:
    return LoadFailed(f"{FILE}: {problem}")

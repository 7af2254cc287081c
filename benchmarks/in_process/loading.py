"""How long models take to load, one after the other and as they are loaded when a server starts."""

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import copytree

from artifacts import BUILD, artifact
from case import Case, Field, Plan
from figures import Key, Round
from mlbuffet import Runtimes
from mlbuffet.repository import ModelRepository, State, find_models

ALONE, AT_START = "one after the other", "as at the start"
FOLDERS: Mapping[str, tuple[dict[str, int], str]] = {
    "4 of ONNX, 200 MB each": ({"wide": 4}, "onnxruntime"),
    "3 of ResNet-50 in TensorFlow": ({"resnet": 3}, "tensorflow"),
    "1 of ResNet-50 with TensorFlow's import, 4 of ONNX": ({"resnet": 1, "wide": 4}, "numpy"),
    "10 small ones of ONNX": ({"iris": 10}, "onnxruntime"),
}
"""How many models of which kind, and what is imported before."""


@contextmanager
def _prepare(plan: Plan) -> Iterator[Field]:
    field = Field()
    for setting, (counts, imported) in FOLDERS.items():
        plan.tell(setting)
        folder = _folder(counts)
        for way in (ALONE, AT_START):
            field.measures[Key(way, setting)] = partial(_round, way, folder, imported)
    yield field


def _folder(counts: Mapping[str, int]) -> Path:
    """A folder with so many copies of each model."""
    folder = BUILD / "models" / "-".join(["loading", *(f"{count}{name}" for name, count in counts.items())])
    for name, count in counts.items():
        for number in range(count):
            copytree(artifact(name).folder, folder / f"{name}{number}", dirs_exist_ok=True)
    return folder


def _round(way: str, folder: Path, imported: str) -> Round:
    """In a process of its own, as what is loaded once is quicker the second time."""
    command = [sys.executable, "-m", "in_process.loading", way, str(folder), imported]
    found: Round = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=sys.path[0]).stdout)
    return found


def show_seconds(way: str, folder: Path, imported: str) -> None:
    """Print how long all models of ``folder`` took, and the processors meanwhile."""
    importlib.import_module(imported)
    runtimes = Runtimes()
    runtimes.discover()
    repository = ModelRepository(runtimes)
    repository.update(find_models(folder, runtimes))
    begin, worked = time.perf_counter(), time.process_time()
    if way == ALONE:
        for version in repository:
            repository.load(version.name)
    else:
        repository.load_all()
    took, worked = time.perf_counter() - begin, time.process_time() - worked
    assert all(version.state is State.READY for version in repository)
    print(json.dumps({"s": took, "processor s": worked}))


CASE = Case(name="loading", title="Several models are loaded", unit="s", prepare=_prepare, asked_for=True)

if __name__ == "__main__":
    show_seconds(sys.argv[1], Path(sys.argv[2]), sys.argv[3])

"""How fast the command line answers, how fast a server is ready, and how much memory it holds."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import copytree

import httpx

from artifacts import BUILD, Artifact, artifact
from case import Case, Field, Plan
from figures import Key, Round
from serving.peers import BARE, BARE_TENSORFLOW, MLBUFFET, Peer
from serving.server import served

COMMAND = str(Path(sys.executable).with_name("mlbuffet"))
LAZY_MODELS = 1000


@contextmanager
def _commands(plan: Plan) -> Iterator[Field]:
    plan.tell("commands")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "mlbuffet --help": [COMMAND, "--help"],
        "mlbuffet runtimes": [COMMAND, "runtimes"],
    }
    yield Field({Key(name): partial(_seconds, command) for name, command in commands.items()})


def _seconds(command: list[str]) -> Round:
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return {"s": time.perf_counter() - begin}


@contextmanager
def _servers(plan: Plan) -> Iterator[Field]:
    plan.tell("servers")
    field = Field()
    for title, name, bare in (("small ONNX", "iris", BARE), ("small TensorFlow", "mlp", BARE_TENSORFLOW)):
        for peer in (bare, MLBUFFET):
            field.measures[Key(peer.name, title)] = partial(_first_answer, peer, artifact(name))
    yield field


def _first_answer(peer: Peer, model: Artifact) -> Round:
    """Seconds from the start of the command to the first right answer, and the memory after it."""
    begin = time.perf_counter()
    with served(peer, model) as server:
        return {"s": time.perf_counter() - begin, "MB": server.memory}


@contextmanager
def _lazy(plan: Plan) -> Iterator[Field]:
    plan.tell(f"a folder of {LAZY_MODELS} models is made")
    one, root = artifact("iris"), BUILD / "models" / f"iris-{LAZY_MODELS}"
    for number in range(LAZY_MODELS):
        copytree(one.folder, root / f"m{number}", dirs_exist_ok=True)
    yield Field({Key(f"{LAZY_MODELS} models, --lazy"): partial(_first_use, replace(one, name="m7", folder=root))})


def _first_use(model: Artifact) -> Round:
    begin = time.perf_counter()
    with served(MLBUFFET, model, "--lazy") as server:
        ready = time.perf_counter() - begin
        begin = time.perf_counter()
        assert len(httpx.post(f"{server.url}/v2/repository/index").json()) == LAZY_MODELS
        return {"s": ready, "MB": server.memory, "index ms": (time.perf_counter() - begin) * 1000}


CASES = (
    Case(name="commands", title="A command from start to end", unit="s", prepare=_commands, quick=True),
    Case(name="startup", title="A server until its first right answer", unit="s", prepare=_servers, rounds=3),
    Case(name="lazy", title="A server of many models, until one of them answers", unit="s", prepare=_lazy, rounds=3),
)

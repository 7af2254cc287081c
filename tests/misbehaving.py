"""A runtime whose models do what a call tells them, for the worse; small enough to be read at a glance."""

import ctypes
import logging
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlbuffet import InvalidInput, PredictFailed, Signature, Signatures, Tensors, TensorSpec, hookimpl

logger = logging.getLogger("misbehaving")


def obey(what: str, argument: str) -> object:  # noqa: C901 a list
    """Do it; what there is to say of it."""
    match what:
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "exit":
            os._exit(int(argument or 3))
        case "grow":
            return len(np.ones(int(argument) * 2**20, np.uint8))
        case "sleep" | "hang":
            time.sleep(float(argument))
        case "log":
            logger.warning("it says %s", argument)
        case "print":
            print(argument, file=sys.stderr, flush=True)
        case "refuse":
            raise InvalidInput("input 'what' is refused", detail="the inner reason")
        case "fail":
            raise PredictFailed("", "serving_default", "the inner reason", reason="it had to")
        case "raise":
            raise KeyError(argument)
        case "pid":
            return os.getpid()
        case "cores":
            return sorted(os.sched_getaffinity(0))
        case "score":
            return Path("/proc/self/oom_score_adj").read_text()
        case _:
            return reach_out(what, argument)
    return argument


def reach_out(what: str, argument: str) -> object:
    """Do it; what there is to say of it, or how it failed."""
    try:
        match what:
            case "write":
                return Path(argument).write_text("harm")
            case "remove":
                Path(argument).unlink()
            case "temporary":
                return tempfile.mkstemp()[1]
            case "connect":
                socket.create_connection(("127.0.0.1", int(argument)), 5).close()
            case "signal":
                os.kill(int(argument), 0)
            case "run":
                return subprocess.run(["sh", "-c", argument], capture_output=True, check=False).returncode
            case "status":
                return dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines())[argument]
            case "files":
                return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    except OSError as error:
        return type(error).__name__
    return argument


class Misbehaving:
    """Does what the input ``what`` says, as in ``sleep 0.1``; its file may say what to do in load."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A .bad file."""
        return path.suffix == ".bad"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> list[str]:
        what, _, argument = path.read_text().partition(" ")
        obey(what, argument)
        return []

    @hookimpl
    def signature(self, model: list[str]) -> Signatures:
        what, said = (TensorSpec(name, object, (None,)) for name in ("what", "said"))
        return Signatures({"serving_default": Signature([what], [said])})

    @hookimpl
    def predict(self, model: list[str], signature: str, inputs: Tensors) -> Tensors:
        model.extend(one.decode() for one in inputs["what"])
        said = []
        for one in inputs["what"]:
            what, _, argument = one.decode().partition(" ")
            said.append(str(len(model)) if what == "count" else str(obey(what, argument)))
        return {"said": np.array([one.encode() for one in said], object)}


class Keeping:
    """Gives back the inputs of the call before, which it has kept; a large array, or a small one."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".keep"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> list[Any]:
        return []

    @hookimpl
    def signature(self, model: list[Any]) -> Signatures:
        x = TensorSpec("x", np.float32, None)
        return Signatures({"serving_default": Signature([x], [x])})

    @hookimpl
    def predict(self, model: list[Any], signature: str, inputs: Tensors) -> Tensors:
        before = model[-1] if model else inputs["x"]
        model[:] = [*model[-2:], inputs["x"]]
        return {"x": before.copy()}

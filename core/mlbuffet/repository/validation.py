"""A model is loaded for the first time in a process of its own, which may crash or hang without harm."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from mlbuffet.errors import LoadFailed, MLBuffetError
from mlbuffet.model import load_artifact
from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.warmup import prepared
from mlbuffet.runtimes import Runtimes, address_of

PATIENCE = 600.0
"""How many seconds loading and warming may take."""
_LAST_WORDS = 2000
_START = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from mlbuffet.repository.validation import run_child
run_child()
"""


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    configuration: Configuration
    folder: Path
    """Of the model whose version it is to be."""
    runtime: str
    plugins: dict[str, str]
    """Where those plugins are found that no package brought, by the names of their runtimes."""
    report: Path
    lifeline: int
    """What `_lifeline` gave."""


def validate(
    path: Path,
    configuration: Configuration,
    runtimes: Runtimes,
    runtime: str | None = None,
    *,
    folder: Path | None = None,
    patience: float = PATIENCE,
) -> None:
    """Load the artifact at ``path``, warm it as ``configuration``, of the model in ``folder``, says, and forget it.

    Raises what choosing a runtime does, and `LoadFailed`, also where the process crashes or does not end within
    ``patience`` seconds.
    """
    chosen = runtimes.select(path, configuration.runtime or runtime)
    plugins = {one.name: address_of(one.plugin) for one in runtimes if one.distribution is None}
    with TemporaryDirectory(prefix="mlbuffet-", ignore_cleanup_errors=True) as scratch, _lifeline() as lifeline:
        report = Path(scratch, "report")
        task = _Task(path, configuration, folder or path.parent, chosen.name, plugins, report, lifeline)
        end, last_words = _ended(task, patience)
        failure = {} if end else json.loads(task.report.read_text())
    if end:
        reason = f"the process in which it was tried {end}"
        raise LoadFailed(reason, path=path, runtime=chosen.name, detail=last_words)
    if failure:
        raise LoadFailed(failure["reason"], path=path, runtime=chosen.name, detail=failure["detail"])


def run_child() -> None:
    """What the process does."""
    task: _Task = pickle.load(sys.stdin.buffer)  # noqa: S301 the server wrote it
    Thread(target=_end_with_server, args=[task.lifeline], daemon=True).start()
    runtimes = Runtimes()
    for name, address in task.plugins.items():
        runtimes.register(EntryPoint(name, address, "mlbuffet").load(), name=name)
    if task.runtime not in runtimes:
        runtimes.discover()
    task.report.write_text(json.dumps(_failure(task, runtimes)))
    os._exit(0)  # how a framework ends is of no interest


def _failure(task: _Task, runtimes: Runtimes) -> dict[str, str | None]:
    """Why it cannot be loaded; not the error itself, for what a model may have written is not unpickled."""
    try:
        options = task.configuration.options
        model = load_artifact(task.path, runtimes, task.runtime, options, confined=task.folder)
        prepared(model, task.configuration)
    except LoadFailed as error:
        return {"reason": error.reason, "detail": error.detail}
    except MLBuffetError as error:
        return {"reason": error.public, "detail": None}
    except OSError as error:
        return {"reason": "it cannot be read", "detail": str(error)}
    return {}


def _ended(task: _Task, patience: float) -> tuple[str, str]:
    """How the process ended, unless well, and its last words."""
    given = pickle.dumps(sys.path) + pickle.dumps(task)
    command = [sys.executable, "-X", "faulthandler", "-c", _START]
    temporary = task.report.parent / "temporary"
    temporary.mkdir()
    with subprocess.Popen(  # noqa: S603 ours
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},  # what it leaves there goes with it
        pass_fds=[task.lifeline],
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(given, patience)
        except subprocess.TimeoutExpired:
            return f"did not end within {patience:g} seconds", ""
        finally:
            _kill_group(process.pid)
    crashed = process.returncode != 0 or not task.report.exists()
    end = "crashed" if process.returncode < 0 else "ended before it was loaded"
    return end if crashed else "", said[-_LAST_WORDS:].decode(errors="replace")


def _kill_group(process: int) -> None:
    """End a process, and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


@contextmanager
def _lifeline() -> Iterator[int]:
    """The end of a pipe on which there is nothing to read before this process has ended."""
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(theirs)
        os.close(ours)


def _end_with_server(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)

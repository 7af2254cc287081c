"""The first load of a model, in a process of its own, which may crash or hang without harm."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from mlbuffet.errors import LoadFailed, MLBuffetError
from mlbuffet.isolation.process import CONFINEMENT
from mlbuffet.load_context import LoadContext
from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.load_settings import LoadSettings, load_settings
from mlbuffet.repository.models_beside import ModelsBeside
from mlbuffet.repository.named_place import NamedPlace
from mlbuffet.repository.upload_policy import UploadPolicy, refusal_of
from mlbuffet.repository.warmup import prepared
from mlbuffet.risks import Risk
from mlbuffet.runtime_choice import Preference
from mlbuffet.runtimes import Runtimes, address_of

PATIENCE = 600.0
"""How many seconds loading and warming may take."""
_STDERR_BYTES = 2000
"""How much of the end of what the process writes is kept."""
_START = """
import pickle, runpy, sys
if len(sys.argv) > 1:
    runpy.run_path(sys.argv[1])["confine"](sys.argv[2:])
sys.path[:] = pickle.load(sys.stdin.buffer)
from mlbuffet.repository.validation import run_child
run_child()
"""


_Report = dict[str, Any]
"""The reason and the detail of a `LoadFailed`, if there is one, and the risks of the artifact."""


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    configuration: Configuration
    folder: Path
    """Of the model whose version it is to be."""
    settings: LoadSettings
    default_options: Mapping[str, Any]
    """Those of the runtime."""
    beside: Sequence[Path | NamedPlace]
    """Where the models are that it may call."""
    preference: Preference | None
    policy: UploadPolicy
    plugins: dict[str, str]
    """The addresses of the plugins that no package brought, by the names of their runtimes."""
    report: Path
    lifeline: int
    """The end of a pipe that is closed when the server ends."""


def validate(
    path: Path,
    configuration: Configuration,
    runtimes: Runtimes,
    preference: Preference | None = None,
    *,
    settings: LoadSettings | None = None,
    folder: Path | None = None,
    beside: Sequence[Path | NamedPlace] = (),
    policy: UploadPolicy = "off",
    patience: float = PATIENCE,
) -> list[Risk]:
    """Load the artifact at ``path`` and warm it as ``configuration`` says, in a process that ends then.

    ``folder`` is that of the model whose version it is to be, which may call the models at the paths ``beside``. The
    result is what it can do besides computing; where ``policy`` is strict, what can do such is not loaded.

    Raises what choosing a runtime does, and `LoadFailed`, also where the process crashes or does not end within
    ``patience`` seconds.
    """
    settings = settings or load_settings(folder or path.parent, configuration, None, {}, preference)
    chosen = runtimes.select(path, settings.runtime)
    chosen.combined_options(settings.options, settings.client_options)  # what is refused need not be tried
    settings = replace(settings, runtime=chosen.name)
    plugins = {one.name: address_of(one.plugin) for one in runtimes if one.distribution is None}
    with TemporaryDirectory(prefix="mlbuffet-", ignore_cleanup_errors=True) as scratch, _lifeline() as lifeline:
        report = Path(scratch, "report")
        task = _Task(
            path=path,
            configuration=configuration,
            folder=folder or path.parent,
            settings=settings,
            default_options=chosen.default_options,
            beside=beside,
            preference=preference,
            policy=policy,
            plugins=plugins,
            report=report,
            lifeline=lifeline,
        )
        reported = _reported(task, patience)
    if "reason" in reported:
        raise LoadFailed(reported["reason"], path=path, runtime=chosen.name, detail=reported["detail"])
    return [Risk(*one) for one in reported["risks"]]


def run_child() -> None:
    """The work of the process."""
    task: _Task = pickle.load(sys.stdin.buffer)  # noqa: S301 the server wrote it
    Thread(target=_end_with_server, args=[task.lifeline], daemon=True).start()
    runtimes = Runtimes()
    for name, address in task.plugins.items():
        runtimes.register(EntryPoint(name, address, "mlbuffet").load(), name=name)
    if task.settings.runtime not in runtimes:
        runtimes.discover()
    task.report.write_text(json.dumps(_tried(task, runtimes)))
    os._exit(0)  # how a framework ends is of no interest


def _tried(task: _Task, runtimes: Runtimes) -> _Report:
    """What came of it; of an error its text, for what a model may have written is not unpickled."""
    risks: list[Risk] = []
    try:
        runtime = runtimes.select(task.path, task.settings.runtime)
        runtime.default_options = task.default_options
        if task.policy != "off":
            options = runtime.combined_options(task.settings.options, task.settings.client_options)
            risks = runtime.risks(task.path, options)
        if risks and task.policy == "strict":
            return {"reason": refusal_of(risks), "detail": None}
        name = task.folder.name
        beside = ModelsBeside(task.beside, name, task.path, runtimes, task.preference, task.configuration)
        context = LoadContext(name=name, models=beside)
        prepared(task.settings.load(task.path, runtimes, context), task.configuration)
    except LoadFailed as error:
        return {"reason": error.reason, "detail": error.detail}
    except MLBuffetError as error:
        return {"reason": error.public, "detail": None}
    except OSError as error:
        return {"reason": "it cannot be read", "detail": str(error)}
    return {"risks": risks}


def _reported(task: _Task, patience: float) -> _Report:
    """What the process reports, or how it ended before that."""
    command = [sys.executable, "-X", "faulthandler", "-c", _START]
    if _is_confined(task):
        command += [str(CONFINEMENT), str(task.report.parent)]
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
        end, stderr = "", b""
        try:
            _, stderr = process.communicate(pickle.dumps(sys.path) + pickle.dumps(task), patience)
        except subprocess.TimeoutExpired:
            end = f"did not end within {patience:g} seconds"
        finally:
            with suppress(ProcessLookupError):  # with what it started
                os.killpg(process.pid, signal.SIGKILL)
    if not end and process.returncode == 0 and task.report.exists():
        report: _Report = json.loads(task.report.read_text())
        return report
    end = end or ("crashed" if process.returncode < 0 else "ended before it was loaded")
    detail = stderr[-_STDERR_BYTES:].decode(errors="replace")
    return {"reason": f"the process in which it was tried {end}", "detail": detail}


def _is_confined(task: _Task) -> bool:
    """Whether the process is kept from the network and from files: for what a client sent, unless its owner says no."""
    process = task.configuration.process
    return task.settings.is_upload and sys.platform == "linux" and (process is None or process.confined)


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

"""What hooks leave as it is: the standard streams, and the settings of the process."""

import ctypes
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mlbuffet.load_context import LoadContext
from mlbuffet.runtimes import Runtime
from mlbuffet.testing.process_state import ADVICE, ProcessState
from mlbuffet.testing.samples import Artifact, calls_of
from mlbuffet.testing.subject import Subject

CallHook = Callable[..., Any]
"""Called with the name of a hook, the hook, and its arguments by name; gives what the hook returns."""


class Surroundings(Subject):
    """The rules that hooks keep in a process which is not theirs alone.

    The first load is not looked at: what the import of a framework does is not the plugin's.
    """

    def test_nothing_is_printed(
        self, runtime: Runtime, artifact: Artifact, context: LoadContext, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """No hook writes to stdout or stderr, from Python or from native code: a command may print JSON there."""
        printed: dict[str, str] = {}

        def call(hook: str, function: Callable[..., Any], **given: Any) -> Any:
            _flush()
            capfd.readouterr()
            result = function(**given)
            _flush()
            for stream, text in zip(("stdout", "stderr"), capfd.readouterr(), strict=True):
                if text:
                    printed[f"`{hook}` wrote to {stream}"] = text[:200]
            return result

        _live(runtime, artifact, context, _plainly)
        _live(runtime, artifact, context, call)
        wrong = "; ".join(f"{what}: {text!r}" for what, text in printed.items())
        assert not printed, f"{wrong}. Use the module logging, and make the framework quiet or redirect what it writes"

    def test_the_process_stays_as_it_is(
        self, runtime: Runtime, artifact: Artifact, context: LoadContext, tmp_path: Path
    ) -> None:
        """No hook changes the working folder, the environment, global seeds, signal handlers or the locale.

        They belong to the program, to other models, and to other threads. Random numbers may be drawn.
        """
        (folder := tmp_path / "working folder").mkdir()
        state = ProcessState(folder)
        _live(runtime, artifact, context, _plainly)
        for _ in range(2):
            _live(runtime, artifact, context, state.call)
            state.next_round()
        wrong = [
            f"`{hook}` changed {what} ({value}): {ADVICE[what]}"
            for hook, changes in state.changes.items()
            for what, value in changes.items()
        ]
        assert not wrong, "; ".join(wrong)


def _live(runtime: Runtime, artifact: Artifact, context: LoadContext, call: CallHook) -> None:
    """The life of one model, with every hook called through ``call``, and ``predict`` for every signature."""
    path = artifact.path.absolute()
    options = runtime.combined_options(artifact.options, {})
    call("risks", runtime.hook("risks"), path=path, options=options)
    handle = call("load", runtime.hook("load"), path=path, options=options, context=context)
    signatures = call("signature", runtime.hook("signature"), model=handle)
    try:
        for one in calls_of(artifact, signatures):
            with suppress(Exception):  # other rules are about answers
                call("predict", runtime.hook("predict"), model=handle, signature=one.signature, inputs=one.inputs)
    finally:
        with suppress(Exception):
            call("unload", runtime.hook("unload"), model=handle)


def _plainly(_hook: str, function: Callable[..., Any], **given: Any) -> Any:
    return function(**given)


def _flush() -> None:
    """Write out what Python and the C library hold back."""
    sys.stdout.flush()
    sys.stderr.flush()
    with suppress(OSError, TypeError, AttributeError):  # there is no such library to ask on some systems
        ctypes.CDLL(None).fflush(None)

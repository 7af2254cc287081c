"""What of a process a hook could change, for whoever else is in it, and which hook did."""

import locale
import os
import pickle
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import pytest

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_LOCALES = ("C", "C.UTF-8")

ADVICE = {
    "the working folder": "use absolute paths",
    "the locale": "parse and format numbers without it",
    "numpy's handling of errors": "use `with numpy.errstate(...)`",
    "the seed of random": "use a `random.Random(seed)` of the model's own",
    "the seed of numpy.random": "use a `numpy.random.default_rng(seed)` of the model's own",
    "a signal handler": "leave signals to the program",
    "the environment": "set it once, in the module that imports the framework, or use the framework's own settings",
}
"""What to do instead of changing each of these."""


class ProcessState:
    """Calls hooks and keeps, by hook, which of `ADVICE` they changed; each change is put back.

    A hook that sets what is set already changes nothing that could be seen, so each is called with other settings than
    a process usually has, and twice: seeds were set where both calls leave them the same.
    """

    def __init__(self, folder: Path) -> None:
        self.changes: dict[str, dict[str, object]] = {}
        """By hook and by what was changed, the new value."""
        self._folder = folder
        self._seeds: dict[tuple[str, str], object] = {}
        self._round = 0
        self._calls = 0

    def next_round(self) -> None:
        """Begin to call every hook again, with other settings."""
        self._round += 1

    def call(self, hook: str, function: Callable[..., Any], **given: Any) -> Any:
        """What ``function``, a hook, returns."""
        with _put_back(), _environment_writes() as written:
            self._disturb()
            before, handlers = _settings(), _handlers()
            result = function(**given)
            after, handlers_after, seeds = _settings(), _handlers(), _seeds()
        changed = {what: value for what, value in after.items() if value != before[what]}
        if set_anew := [signal.strsignal(one) for one, handler in handlers_after.items() if handlers[one] != handler]:
            changed["a signal handler"] = set_anew
        changed.update({"the environment": sorted(written)} if written else {})
        for what, state in seeds.items():
            if self._seeds.get((hook, what)) == state:
                changed[what] = "the same in each call"
            self._seeds[hook, what] = state
        self.changes.setdefault(hook, {}).update(changed)
        return result

    def _disturb(self) -> None:
        os.chdir(self._folder)
        self._calls += 1
        random.seed(self._calls)
        np.random.seed(self._calls)
        mode: Literal["ignore", "warn"] = "ignore" if self._round % 2 else "warn"
        np.seterr(divide=mode, over=mode, invalid=mode)
        with suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, _LOCALES[self._round % 2])
        if _may_set_handlers():
            for name in _SIGNALS:
                signal.signal(getattr(signal, name), _interrupt)


def _settings() -> dict[str, object]:
    return {
        "the working folder": str(Path.cwd()),
        "the locale": locale.setlocale(locale.LC_ALL),
        "numpy's handling of errors": np.geterr(),
    }


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _seeds() -> dict[str, object]:
    of_numpy = pickle.dumps(np.random.get_state(legacy=False))
    return {"the seed of random": random.getstate(), "the seed of numpy.random": of_numpy}


@contextmanager
def _put_back() -> Iterator[None]:
    settings, python, numpy = _settings(), random.getstate(), np.random.get_state()
    environment, handlers = dict(os.environ), _handlers()
    errors: Any = settings["numpy's handling of errors"]
    try:
        yield
    finally:
        os.chdir(str(settings["the working folder"]))
        locale.setlocale(locale.LC_ALL, str(settings["the locale"]))
        np.seterr(**errors)
        random.setstate(python)
        np.random.set_state(numpy)
        for number, handler in handlers.items():
            if _may_set_handlers() and handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in environment.items() if os.environ.get(name) != value})


@contextmanager
def _environment_writes() -> Iterator[set[str]]:
    """The names of the variables that are set or removed meanwhile, also to what they are already."""
    written: set[str] = set()

    def noting(function: Callable[..., None]) -> Callable[..., None]:
        def note(key: Any, *value: Any) -> None:
            written.add(os.fsdecode(key))
            function(key, *value)

        return note

    with pytest.MonkeyPatch.context() as patch:  # `os.environ` calls these two for every change
        patch.setattr(os, "putenv", noting(os.putenv))
        patch.setattr(os, "unsetenv", noting(os.unsetenv))
        yield written


def _may_set_handlers() -> bool:
    return threading.current_thread() is threading.main_thread()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt

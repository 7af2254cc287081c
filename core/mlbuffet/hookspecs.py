"""What a runtime plugin implements.

A plugin is an object (usually an instance of a small class) whose methods carry ``@hookimpl``. Implement all of
`RuntimePlugin`; `OptionalHooks` only where needed. Argument names are part of the contract.

The first line of the docstring of ``accepts`` (or of the class) is what ``mlbuffet runtimes`` shows. Seven plain
attributes are read where a plugin has them: ``platform: str`` is what Open Inference Protocol calls the model's
platform, and with ``takes_any_shape = True`` inputs may come in other shapes than declared (`mlbuffet.Model.predict`).
With ``output_shapes_may_differ = True`` outputs may have other shapes than declared: the files say what nobody holds.
Loads of one runtime run one after the other, unless it says ``concurrent_loads = True``. ``options: type``, a
`msgspec.Struct` or a dataclass, has a field for each of its options, and ``client_options: frozenset[str]`` are the
names of those that an upload may give; ``threads_option: str`` is the one that says how many threads compute a call.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import RLock
from time import perf_counter
from typing import Any, Protocol

import pluggy

from mlbuffet.errors import LoadFailed
from mlbuffet.file_start import first_bytes
from mlbuffet.kept_stderr import stderr_kept_back
from mlbuffet.load_context import HeldModel, LoadContext, OtherModel, OtherModels
from mlbuffet.request import Request
from mlbuffet.risks import Risk
from mlbuffet.tensors import Signatures, Tensors

__all__ = [
    "CONTRACT",
    "HandleHooks",
    "HeldModel",
    "LoadContext",
    "OptionalHooks",
    "OtherModel",
    "OtherModels",
    "Request",
    "Risk",
    "RuntimePlugin",
    "first_bytes",
    "hookimpl",
    "importing",
    "stderr_kept_back",
]

PROJECT = "mlbuffet"
CONTRACT = (1, 0)
"""The version of the contract: hooks, and arguments of hooks, that are new raise the second number."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

_import_locks: dict[str, RLock] = {}
_import_seconds: ContextVar[dict[str, float]] = ContextVar("import_seconds")


@contextmanager
def importing(framework: str, requirement: str = "") -> Iterator[None]:
    """Around the import of a ``framework`` in ``load``, so that its seconds are not counted as those of the model.

    Raises `LoadFailed` where it is not there, which says to install it, as ``requirement`` if that has another name.
    One thread at a time: where the import fails in one, another would see a part of the module, and a wrong reason.
    """
    with _import_locks.setdefault(framework, RLock()):
        begin = perf_counter()
        try:
            yield
        except ImportError as error:
            advice = f"install it with: pip install '{requirement or framework}'"
            raise LoadFailed(f"{framework} cannot be imported here; {advice}", detail=str(error)) from error
        finally:
            note_import(framework, perf_counter() - begin)


def note_import(framework: str, seconds: float) -> None:
    """Count ``seconds`` as those of an import."""
    noted = _import_seconds.get({})
    noted[framework] = noted.get(framework, 0.0) + seconds


@contextmanager
def import_seconds() -> Iterator[Mapping[str, float]]:
    """The seconds for which plugins were `importing` each framework in this context, updated while they do."""
    seconds: dict[str, float] = {}
    token = _import_seconds.set(seconds)
    try:
        yield seconds
    finally:
        _import_seconds.reset(token)


class RuntimePlugin(Protocol):
    """A runtime: it knows its artifacts, loads them, says what they take, and runs them."""

    @hookspec(firstresult=True)
    def accepts(self, path: Path) -> bool:
        """Whether ``path`` (a file or a folder) is an artifact of this runtime.

        Looks at names and magic bytes alone, imports no framework, and says no rather than raise; an ``OSError`` is a
        no.
        """
        ...

    @hookspec(firstresult=True)
    def load(self, path: Path, options: Any, context: LoadContext) -> Any:
        """Load the artifact and return a handle that only this plugin uses.

        ``options`` is an instance of the plugin's type ``options``, or where it has none a mapping of what was given.
        ``context`` says which model it is and who gives the options, and gives others of its repository, which it may
        call. A plugin that needs nothing of it leaves the argument out.

        Raise `InvalidOptions` for an option that does not fit, and `LoadFailed` with a reason for an artifact that
        cannot be served. What else is raised becomes `LoadFailed`.
        """
        ...

    @hookspec(firstresult=True)
    def signature(self, model: Any) -> Signatures:
        """What the loaded ``model`` takes and gives; called once after each load."""
        ...

    @hookspec(firstresult=True)
    def predict(self, model: Any, signature: str, inputs: Tensors, request: Request) -> Tensors:
        """Compute the outputs of one signature: all, or with ``request``, at least those that it says are wanted.

        ``inputs`` were checked against the signature: names, dtypes, ranks and static dimensions fit. The call blocks,
        is made from several threads at once, does not change its inputs, and returns fresh arrays. Raise `InvalidInput`
        for values that the model cannot take; what else is raised becomes `PredictFailed`.
        """
        ...


class OptionalHooks(Protocol):
    """What a runtime may implement besides."""

    @hookspec(firstresult=True)
    def explain(self, path: Path) -> str | None:
        """Why ``path``, which this runtime knows and does not accept, cannot be served, and what to do instead.

        Called where no runtime accepts it, or where this one is named and cannot load it; the sentence becomes a
        `LoadFailed`, so it has no paths. ``None`` for what is not of this runtime's kind. As `accepts`, it looks at
        names and magic bytes alone.
        """
        ...

    @hookspec(firstresult=True)
    def risks(self, path: Path, options: Any) -> Sequence[Risk] | None:
        """What the artifact at ``path``, which this runtime accepts, can do besides computing its outputs.

        It runs code of its maker, reads or writes files that are not its own, or reaches other machines, when it is
        loaded or asked. What ``options``, those of ``load``, allow is no risk. Reads the artifact and runs nothing of
        it; it may import the framework. Called for uploads, before ``load``, and for ``mlbuffet inspect --security``.
        Raise `LoadFailed` for an artifact that cannot be read. Pickles among its files are found without this hook.
        """
        ...

    @hookspec(firstresult=True)
    def concurrency(self, model: Any) -> int | None:
        """How many calls of ``model`` can run at once, where that is known: 1 for one that has a lock.

        Asked once after `signature`. A server lets so many run, or as ``model.toml`` or it says, if that is fewer.
        """
        ...

    @hookspec(firstresult=True)
    def memory(self, model: Any) -> int | None:
        """How many bytes of memory ``model`` takes, where that is known; ``None``: about as many as its files.

        Asked once after `signature`, for ``--max-memory``.
        """
        ...

    @hookspec
    def unload(self, model: Any) -> None:
        """Release what garbage collection would not: sessions, temporary files, device memory."""
        ...


class HandleHooks:
    """Base of a runtime whose handles have ``signatures``, and as far as they know it ``concurrency`` and ``close``."""

    @hookimpl
    def signature(self, model: Any) -> Signatures:
        """As the handle says."""
        signatures: Signatures = model.signatures
        return signatures

    @hookimpl
    def concurrency(self, model: Any) -> int | None:
        """As the handle says, if it says it."""
        return getattr(model, "concurrency", None)

    @hookimpl
    def unload(self, model: Any) -> None:
        """Close the handle, where it can be closed."""
        if close := getattr(model, "close", None):
            close()

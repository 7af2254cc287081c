"""The errors of MLBuffet.

    MLBuffetError
    ├── InvalidInput            the tensors of a call do not fit the signature
    │   └── UnknownSignature    the call names a signature the model does not have
    ├── InvalidOptions          a runtime does not know an option, or refuses its value
    ├── ArtifactNotFound        there is nothing at the path
    ├── ArtifactUnreadable      this user may not read what is at the path
    ├── NoRuntime               no runtime accepts the artifact
    │   ├── UnknownRuntime      the runtime named is not installed
    │   └── NotOneArtifact      the folder holds versions, models or artifacts, and is none itself
    ├── AmbiguousRuntime        several runtimes accept the artifact
    ├── InvalidHook             a plugin implements a hook that is not, or with other arguments
    ├── IncompleteRuntime       a plugin does not implement every hook of a runtime
    ├── DuplicateRuntime        two plugins want one name
    ├── LoadFailed              the runtime cannot load the artifact
    ├── ConversionFailed        a model cannot be converted to another format
    ├── PredictFailed           the runtime failed while it computed
    ├── ModelClosed             the model was used after close()
    ├── RepositoryClosed        a repository was used before it was opened, or after close()
    ├── InvalidConfiguration    a model.toml says what MLBuffet does not understand
    ├── RemoteFailed            a model or folder at a URL cannot be copied
    ├── NoModels                a folder to serve holds no model
    ├── NoModelLoaded           not one of the models to serve could be loaded
    ├── InvalidPlace            a place to serve is written or named wrongly
    ├── InvalidModelName        a file's or folder's name cannot be a model's name
    ├── DuplicateModel          two artifacts want one model name and version
    ├── ModelNotFound           no model, or no version of it, has that name
    ├── ModelNotReady           the model is loading, or failed to load
    ├── ProcessCrashed          the process of a model ended during the call
    ├── Overloaded              as many calls of the model wait as may
    ├── DeadlineExceeded        the model did not answer in the time that the call had
    ├── UploadRefused           what was uploaded cannot be a version of a model
    │   └── UploadTooLarge      it is larger than the server takes
    ├── NotAuthenticated        a request needs a token, and does not show it
    ├── NotPermitted            who sends a request may not do that here
    ├── NotChangeable           the model lies where, or as, a server cannot change it
    ├── StorageFailed           the file system failed while a change was stored
    │   └── StorageFull         there is no room left
    └── RequestFailed           a running server refuses what a command asks, or does not answer

Every constructor takes facts; ``str(error)`` is a sentence for the operator, and ``error.public`` the same without
paths and without the text of other libraries, for clients.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType


def reason_of(error: Exception) -> str:
    """Why a plugin or a model failed, on one line; with the type of an exception that is not MLBuffet's."""
    text = str(error) if isinstance(error, MLBuffetError) else f"{type(error).__name__}: {error}"
    return text.splitlines()[0] if text else type(error).__name__


def reason_in(text: str, reasons: Mapping[str, str], **words: str) -> str | None:
    """The reason for the text of another library, by the first pattern of ``reasons`` that is in it, or ``None``.

    A reason has the groups of its pattern in braces, by number or name, and ``words``.
    """
    for pattern, reason in reasons.items():
        if match := re.search(pattern, text, re.DOTALL):
            return reason.format(*match.groups(), **match.groupdict(), **words)
    return None


def may_pass(error: BaseException | None) -> bool:
    """Whether the cause of a failed load may pass without a change of the model: a full disk, a lack of memory."""
    match error:
        case None:
            return False
        case MemoryError():
            return True
        case FileNotFoundError() | PermissionError() | IsADirectoryError() | NotADirectoryError():
            return False
        case OSError(errno=int()):  # libraries raise it without a number for files that they refuse
            return True
    return may_pass(error.__cause__)


def _listed(names: Iterable[object]) -> str:
    return ", ".join(str(name) for name in names) or "none"


class MLBuffetError(Exception):
    """The root of every error that MLBuffet raises on purpose."""

    _public: str | None = None

    def __init__(self, *args: object, public: str | None = None) -> None:
        super().__init__(*args)
        if public is not None:
            self._public = public

    @property
    def public(self) -> str:
        """The message for a client: no path, no text of another library."""
        return str(self) if self._public is None else self._public

    def __reduce__(self) -> tuple[object, ...]:
        """Without the constructor, whose arguments are not those of ``Exception``."""
        return type(self).__new__, (type(self), *self.args), vars(self)


class InvalidInput(MLBuffetError):
    """Inputs do not fit the signature; ``problem`` names the tensor, what it is and what the model takes.

    Where the model itself refused it, ``detail`` is the framework's text, which is kept from clients.
    """

    def __init__(self, problem: str, *, detail: str | None = None) -> None:
        self.problem = problem
        self.detail = detail
        super().__init__(problem + (f" ({detail})" if detail else ""), public=problem)


class UnknownSignature(InvalidInput):
    """``asked`` is not a signature of the model; ``None`` means the model has no default, and ``reason`` why."""

    def __init__(self, asked: str | None, known: Iterable[str], reason: str = "") -> None:
        self.asked = asked
        self.known = tuple(known)
        self.reason = reason
        problem = f"there is no signature {asked!r}" if asked is not None else "the model has no default signature"
        if reason:
            problem += f": {reason}"
        instead = f"name one of: {_listed(self.known)}" if self.known else "it has no signatures at all"
        super().__init__(f"{problem}; {instead}")


class InvalidOptions(MLBuffetError):
    """A runtime does not take these options; ``valid`` are the names it knows.

    A plugin that declares its options leaves ``valid`` out: they are filled in.
    """

    def __init__(self, problem: str, valid: Iterable[str] = ()) -> None:
        self.problem = problem
        self.valid = tuple(valid)
        super().__init__(f"invalid options: {problem}; the valid options are: {_listed(self.valid)}")


class ArtifactNotFound(MLBuffetError):
    """There is no file and no folder at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"there is no file or folder at '{path}'", public="the model's artifact is missing")


class ArtifactUnreadable(MLBuffetError):
    """There is something at ``path`` that cannot be read; ``reason`` is the system's message."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        sentence = f"'{path}' cannot be read: {reason}; mend the path, or let the user who runs this read it"
        super().__init__(sentence, public="the model's artifact cannot be read")


class NoRuntime(MLBuffetError):
    """None of the runtimes ``asked`` accepts ``path``; ``broken`` are the plugins that cannot be used.

    ``reason`` says what ``path`` is instead, where that is known. ``failed`` are those asked that raised, with what
    they raised; ``named`` are the runtimes that alone may be taken, some of which may not be installed.
    """

    path: Path | None = None
    asked: tuple[str, ...] = ()
    reason: str | None = None
    failed: Mapping[str, str] = MappingProxyType({})
    named: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        asked: Iterable[str],
        broken: Mapping[str, Exception],
        reason: str | None = None,
        *,
        failed: Mapping[str, str] | None = None,
        named: Iterable[str] = (),
    ) -> None:
        self.path = path
        self.asked = tuple(sorted(asked))
        self.broken = dict(broken)
        self.reason = reason
        self.failed = dict(failed or {})
        self.named = tuple(named)
        given = f"asked: {_listed(self.asked)}"
        if missing := sorted({*self.named} - {*self.asked}):
            given += f"; not installed: {_listed(missing)}"
        if self.failed:
            given += f"; failed: {_listed(f'{name} ({self.failed[name]})' for name in sorted(self.failed))}"
        given += _reasons(broken)
        advice = (
            "Install the package of a runtime that reads it; or name the runtime that should have "
            f"({_by_name('...')}), to be told what is wrong with a file that may be damaged"
        )
        why = f": {reason} ({given})" if reason else f"; {given}. {advice}"
        which = f"none of the runtimes {_listed(self.named)}" if self.named else "no installed runtime"
        public = f"{which} accepts the model" + (f": {reason}" if reason else "")
        super().__init__(f"{which} accepts '{path}'{why}", public=public)


class UnknownRuntime(NoRuntime):
    """No runtime called ``name`` is registered."""

    def __init__(self, name: str, installed: Iterable[str], broken: Mapping[str, Exception]) -> None:
        self.name = name
        self.installed = tuple(sorted(installed))
        self.broken = dict(broken)
        sentence = (
            f"there is no runtime {name!r}; installed: {_listed(self.installed)}{_reasons(broken)}. "
            "Install the package that brings it, or choose one of those"
        )
        if name in broken and name not in self.installed:
            sentence = f"the runtime {name!r} is installed but broken: {reason_of(broken[name])}"
        MLBuffetError.__init__(self, sentence, public=f"the runtime {name!r} is not installed")


class NotOneArtifact(NoRuntime):
    """The folder ``path`` is no artifact itself; ``inside`` are those in it, and the folders that hold some."""

    def __init__(
        self, path: Path, inside: Iterable[Path], asked: Iterable[str], broken: Mapping[str, Exception]
    ) -> None:
        self.path = path
        self.inside = tuple(inside)
        self.asked = tuple(sorted(asked))
        self.broken = dict(broken)
        sentence = (
            f"'{path}' is a folder and no artifact; it holds {_listed(repr(one.name) for one in self.inside)}. Name "
            f"one of them, such as '{self.inside[-1]}'; a folder of versions has folders named by whole numbers, such "
            "as 1"
        )
        what = "it must be one, hold one, or hold folders of versions named 1, 2, 3..."
        MLBuffetError.__init__(self, sentence, public=f"the model's folder is no artifact; {what}")


class AmbiguousRuntime(MLBuffetError):
    """Several runtimes accept ``path``; the caller has to name one, or to say which goes first."""

    def __init__(self, path: Path, accepting: Iterable[str]) -> None:
        self.path = path
        self.accepting = tuple(sorted(accepting))
        names = _listed(self.accepting)
        order = list(self.accepting)
        sentence = (
            f"several runtimes accept '{path}': {names}. Choose one by its name: {_by_name(order[0])}; or say which "
            f"goes first, there and elsewhere: runtime={order} in Python, --prefer {','.join(order)} on the command "
            f"line, runtime = {order} in model.toml"
        )
        super().__init__(sentence, public=f"several runtimes accept the model: {names}")


class InvalidHook(MLBuffetError):
    """The plugin ``name`` has a hook that cannot be called: ``problem`` says which, ``instead`` what can be."""

    def __init__(self, name: str, problem: str, instead: str) -> None:
        self.name = name
        self.problem = problem
        self.instead = instead
        super().__init__(f"the plugin {name!r} is wrong: {problem}; {instead}")


class IncompleteRuntime(MLBuffetError):
    """The plugin ``name`` lacks hooks without which it cannot serve; ``missing`` names them."""

    def __init__(self, name: str, missing: Iterable[str]) -> None:
        self.name = name
        self.missing = tuple(missing)
        super().__init__(
            f"the plugin {name!r} is not a whole runtime: it does not implement {_listed(self.missing)}. "
            "Write each as a method with that name, decorated with @mlbuffet.hookimpl"
        )


class DuplicateRuntime(MLBuffetError):
    """A runtime called ``name`` is registered already."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"a runtime called {name!r} is registered already; give this one another name")


class LoadFailed(MLBuffetError):
    """The artifact cannot be loaded.

    A plugin raises ``LoadFailed(reason)`` with a sentence of its own, without paths, that says what is wrong and what
    to do, and where another library has more to say, ``detail`` with its text, which is kept from clients. Anything
    else that a plugin raises becomes a ``LoadFailed`` with that text as its ``detail``.
    """

    def __init__(
        self, reason: str, *, path: Path | None = None, runtime: str | None = None, detail: str | None = None
    ) -> None:
        self.reason = reason
        self.path = path
        self.runtime = runtime
        self.detail = detail
        by = f" by the runtime {runtime!r}" if runtime else ""
        where = f"'{path}' cannot be loaded{by}: " if path else ""
        public = f"the model cannot be loaded: {reason}" + ("; the server's log has the cause" if detail else "")
        super().__init__(where + reason + (f" ({detail})" if detail else ""), public=public)


class ConversionFailed(MLBuffetError):
    """A model cannot be converted, for a ``reason``; ``detail`` is the converter's own text."""

    def __init__(self, reason: str, *, detail: str | None = None) -> None:
        self.reason = reason
        self.detail = detail
        public = f"the model cannot be converted: {reason}"
        super().__init__(public + (f" ({detail})" if detail else ""), public=public)


class PredictFailed(MLBuffetError):
    """The runtime failed while it computed ``signature``; ``detail`` is its own text, kept from clients.

    A plugin that knows where it failed raises ``PredictFailed("", signature, detail, reason=...)`` with a sentence of
    its own, without paths and without the text of another library, which clients are told; the name under which it is
    registered is filled in.
    """

    def __init__(self, runtime: str, signature: str, detail: str, *, reason: str = "") -> None:
        self.runtime = runtime
        self.signature = signature
        self.detail = detail
        self.reason = reason
        failed = f"failed to compute signature {signature!r}" + (f": {reason}" if reason else "")
        super().__init__(
            f"the runtime {runtime!r} {failed}" + (f" ({detail})" if reason else f": {detail}"),
            public=f"the model {failed}; the server's log has the cause",
        )


class ModelClosed(MLBuffetError):
    """``predict`` was called on a model after ``close``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"the model from '{path}' is closed; load it again", public="the model is being unloaded")


class RepositoryClosed(MLBuffetError):
    """A `mlbuffet.Repository` was used that is not open in this process."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the repository {reason}; use it within 'with repository:' or 'async with repository:', or between its "
            "open() and close()"
        )


class InvalidConfiguration(MLBuffetError):
    """The file ``path`` is not as it must be; ``valid`` are the keys there are, where the problem is an unknown one."""

    def __init__(self, path: Path, problem: str, valid: Iterable[str] = ()) -> None:
        self.path = path
        self.problem = problem
        self.valid = tuple(valid)
        what = problem + (f"; the valid keys are: {_listed(self.valid)}" if self.valid else "")
        super().__init__(f"'{path}' is wrong: {what}", public=f"the model's {path.name} is wrong: {what}")


class RemoteFailed(MLBuffetError):
    """The file or folder at ``url`` cannot be listed or copied; ``detail`` says why."""

    def __init__(self, url: str, detail: str) -> None:
        self.url = url
        self.detail = detail
        super().__init__(f"'{url}' cannot be copied: {detail}")


class NoModels(MLBuffetError):
    """The folder ``path`` was to be served and holds nothing that a runtime accepts."""

    def __init__(self, path: Path, asked: Iterable[str], broken: Mapping[str, Exception]) -> None:
        self.path = path
        self.asked = tuple(sorted(asked))
        self.broken = dict(broken)
        super().__init__(
            f"there is no model in '{path}'; asked: {_listed(self.asked)}{_reasons(broken)}. "
            "Expected an artifact, or a folder with <name>/<artifact>, <name>/<version>/<artifact> or <name>.<suffix>"
        )


class NoModelLoaded(MLBuffetError):
    """Every model to serve failed; ``failures`` are their errors."""

    def __init__(self, failures: Iterable[MLBuffetError]) -> None:
        self.failures = tuple(failures)
        super().__init__("not one of the models could be loaded: " + "; ".join(map(str, self.failures)))


class InvalidPlace(MLBuffetError):
    """``place`` was to be served, and cannot be as it is written."""

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"'{place}' cannot be served: {reason}")


class InvalidModelName(MLBuffetError):
    """``name`` cannot be part of an address."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} cannot be a model's name: a name starts with a letter or digit and goes on with letters, "
            "digits, '.', '_' and '-', 128 characters at most. Rename the file or folder"
        )


class DuplicateModel(MLBuffetError):
    """Two artifacts would both be served as ``name``, version ``version``."""

    def __init__(self, name: str, version: int, paths: Iterable[Path]) -> None:
        self.name = name
        self.version = version
        self.paths = tuple(paths)
        places = " and ".join(f"'{path}'" for path in self.paths)
        public = f"two artifacts are version {version} of the model {name!r}"
        super().__init__(f"{public}: {places}. Rename one of them", public=public)


class ModelNotFound(MLBuffetError):
    """No model is called ``name``, or it has no such ``version``, or none that is called ``label``.

    ``versions`` are those there are, and ``labels`` the names that some of them have.
    """

    def __init__(
        self,
        name: str,
        version: int | None = None,
        versions: Iterable[int] = (),
        *,
        label: str | None = None,
        labels: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.version = version
        self.versions = tuple(versions)
        self.label = label
        self.labels = tuple(labels)
        if label is not None:
            known = _listed(map(repr, self.labels))
            sentence = f"no version of the model {name!r} has the label {label!r}; there are: {known}"
        elif version is not None:
            sentence = f"there is no version {version} of the model {name!r}; there are: {_listed(self.versions)}"
        else:
            sentence = f"there is no model {name!r}"
        super().__init__(sentence)


class ModelNotReady(MLBuffetError):
    """The model is known and cannot be called (yet); ``reason`` says why, fit for a client.

    ``retry_after`` is in how many seconds it may be ready; ``None`` where waiting is of no use.
    """

    def __init__(self, name: str, version: int, reason: str, retry_after: float | None = None) -> None:
        self.name = name
        self.version = version
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(f"version {version} of the model {name!r} is not ready: {reason}")


class ProcessCrashed(MLBuffetError):
    """The process in which ``model`` runs ended during the call, or cannot be started; ``reason`` says how."""

    def __init__(self, model: str, version: int | None, reason: str) -> None:
        self.model = model
        self.version = version
        self.reason = reason
        which = f"the model {model!r}" if version is None else f"version {version} of the model {model!r}"
        super().__init__(f"{which} gave no answer: {reason}")


class Overloaded(MLBuffetError):
    """A model has as many calls ``running`` and ``waiting`` as are allowed."""

    def __init__(self, running: int, waiting: int, model: str = "", version: int = 0) -> None:
        self.running = running
        self.waiting = waiting
        self.model = model
        """Empty where the model has no name."""
        self.version = version
        super().__init__(f"the model is overloaded: {running} calls run and {waiting} wait; ask again a little later")


class DeadlineExceeded(MLBuffetError):
    """The model did not answer within the ``seconds`` that the call had; with 0 it was not called any more."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        within = f"the model did not answer within {seconds:g} seconds"
        super().__init__(within if seconds > 0 else "the time that the call had was over before it began")


class UploadRefused(MLBuffetError):
    """An upload is refused; the message says why, fit for a client."""


class UploadTooLarge(UploadRefused):
    """An upload, or its unpacked content, has more than ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"the upload is larger than {limit} bytes, which is the limit of this server (--max-upload)")


class NotAuthenticated(MLBuffetError):
    """A request does not show the token that it needs; ``code`` is that of RFC 6750 (3.1), if it has one for this."""

    def __init__(self, problem: str, code: str = "") -> None:
        self.code = code
        super().__init__(problem)


class NotPermitted(MLBuffetError):
    """Who sends a request may not do that here; the message says why and what to do, fit for a client."""


class NotChangeable(MLBuffetError):
    """Clients cannot change this; the message says why and what to do, fit for a client."""


class StorageFailed(MLBuffetError):
    """A change could not be stored, and did not happen; ``reason`` is the system's message."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the change could not be stored, and was undone: {reason}")


class StorageFull(StorageFailed):
    """There is no room for a change."""


class RequestFailed(MLBuffetError):
    """The server at ``url`` refused a command, or did not respond; ``problem`` says why."""

    def __init__(self, url: str, problem: str) -> None:
        self.url = url
        self.problem = problem
        super().__init__(f"the server at {url}: {problem}")


def _by_name(runtime: str) -> str:
    return f"runtime={runtime!r} in Python, --runtime {runtime} on the command line, runtime={runtime!r} in model.toml"


def _reasons(broken: Mapping[str, Exception]) -> str:
    if not broken:
        return ""
    return "; broken: " + _listed(f"{name} ({reason_of(broken[name])})" for name in sorted(broken))

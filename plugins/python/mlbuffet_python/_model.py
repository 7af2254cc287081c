"""A loaded model: an object of the class in its model.py."""

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from numbers import Integral
from pathlib import Path
from threading import BoundedSemaphore
from types import ModuleType
from typing import Any

import msgspec

from mlbuffet.errors import (
    DeadlineExceeded,
    InvalidInput,
    InvalidOptions,
    LoadFailed,
    MLBuffetError,
    ModelClosed,
    ModelNotReady,
    Overloaded,
    PredictFailed,
)
from mlbuffet.hookspecs import LoadContext, Request
from mlbuffet.tensors import Signatures, Tensors
from mlbuffet_python import MARK
from mlbuffet_python._failures import FailureLog, failure_of, is_raised_in
from mlbuffet_python._method import Method
from mlbuffet_python._modules import Modules

OF_OTHER_MODELS = (DeadlineExceeded, ModelClosed, ModelNotReady, Overloaded, PredictFailed)
"""What a call of another model raises, which says who failed, and why."""


class PythonModel:
    """The handle of the model in ``folder``. Creating it raises `LoadFailed` or `InvalidOptions`."""

    def __init__(self, folder: Path, options: Mapping[str, Any], context: LoadContext) -> None:
        self._folder = folder
        self._log = FailureLog(context.name)
        self._modules = Modules(folder, context.name)
        self._object: object = None
        try:
            self._methods = self._load(options, context)
        except BaseException:
            self._abandon()
            raise
        self._turn = BoundedSemaphore(self.concurrency) if self.concurrency else nullcontext()
        first = next(iter(self._methods))
        self.signatures = Signatures(
            {name: method.signature for name, method in self._methods.items()},
            default=first,
            default_reason="" if len(self._methods) == 1 else f"{first} is the first in the class",
        )

    def predict(self, signature: str, inputs: Tensors, request: Request) -> Tensors:
        """What the method returns. Raises `InvalidInput`, and what other models raise; all else is `PredictFailed`."""
        try:
            with self._turn:
                return self._methods[signature](inputs, request.parameters)
        except InvalidInput:
            raise
        except Exception as error:
            if isinstance(error, OF_OTHER_MODELS) and not is_raised_in(error, self._folder):
                raise
            failure = failure_of(error, self._folder)
            self._log.note(failure, error)
            raise PredictFailed("", signature, failure.detail, reason=failure.reason) from error

    def close(self) -> None:
        """Let the author's object close what it has opened, where it can."""
        try:
            getattr(self._object, "close", lambda: None)()
        finally:
            self._modules.close()

    def _abandon(self) -> None:
        """Close what could not be loaded; why not is the error to raise, also where closing fails."""
        try:
            self.close()
        except (Exception, SystemExit) as error:  # noqa: BLE001 the first error is raised
            self._log.note(failure_of(error, self._folder), error)

    def _load(self, options: Mapping[str, Any], context: LoadContext) -> dict[str, Method]:
        try:
            kind = _model_class(self._modules.import_module("model"))
            self._object = kind(**_arguments(kind, options, context))
            self.concurrency = _concurrency(self._object)
            return {name: Method(name, getattr(self._object, name)) for name in _marked(kind)}
        except MLBuffetError:
            raise
        except ModuleNotFoundError as error:
            advice = "install it where MLBuffet runs, and name its package in requirements.txt"
            raise LoadFailed(f"its code imports {error.name!r}, which is not there; {advice}") from error
        except (Exception, SystemExit) as error:
            failure = failure_of(error, self._folder)
            self._log.note(failure, error)
            reason = "its code failed" + (f": {failure.reason}" if failure.reason else "")
            raise LoadFailed(reason, detail=failure.detail) from error


def _concurrency(made: object) -> int | None:
    stated = getattr(made, "concurrency", None)
    if stated is None:
        return None
    if not isinstance(stated, Integral) or isinstance(stated, bool) or stated < 1:
        shown = stated if isinstance(stated, Integral) else f"of the type {type(stated).__name__}"
        allowed = "write how many calls may run at once, an int from 1, or leave it out"
        raise LoadFailed(f"the concurrency of its class is {shown}; {allowed}")
    return int(stated)


def _model_class(module: ModuleType) -> type:
    own = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__]
    match [one for one in own if _marked(one) and not any(one in other.__mro__[1:] for other in own)]:
        case [kind]:
            return kind
        case []:
            raise LoadFailed("model.py has no class with a method that is marked with @signature")
        case several:
            names = ", ".join(one.__name__ for one in several)
            raise LoadFailed(f"model.py has several classes with methods marked with @signature: {names}; leave one")


def _marked(kind: type) -> list[str]:
    """The names of the marked methods in the order in which they are written, those of base classes first."""
    names = dict.fromkeys(name for base in reversed(kind.__mro__) for name in vars(base))
    return [name for name in names if _is_marked(getattr(kind, name, None), inspect.getattr_static(kind, name))]


def _is_marked(*forms: object) -> bool:
    """Whether one of the forms of a method is: a static one is wrapped."""
    return any(getattr(form, MARK, None) is True for form in forms)


def _arguments(kind: type, options: Mapping[str, Any], context: LoadContext) -> dict[str, Any]:
    """What the class is made with: the context where it takes it, and the options by their names."""
    parameters = inspect.signature(kind, eval_str=True).parameters
    taken = {
        name: one
        for name, one in parameters.items()
        if one.kind is one.POSITIONAL_OR_KEYWORD or one.kind is one.KEYWORD_ONLY
    }
    given = {"context": context} if taken.pop("context", None) else {}
    for name, value in options.items():
        if name not in taken:
            raise InvalidOptions(f"there is no option {name!r}", taken)
        given[name] = _converted(name, value, taken[name].annotation, taken)
    for name, parameter in taken.items():
        if parameter.default is parameter.empty and name not in given:
            raise InvalidOptions(f"the option {name!r} must be given", taken)
    return given


def _converted(name: str, value: Any, annotation: Any, valid: Mapping[str, Any]) -> Any:
    if annotation is inspect.Parameter.empty:
        return value
    try:
        return msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        problem = str(error).replace("`", "")
        raise InvalidOptions(f"{name}: {problem[:1].lower()}{problem[1:]}", valid) from None

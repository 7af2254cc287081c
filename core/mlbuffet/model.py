"""A loaded model: a runtime, its handle and its signatures."""

import logging
import operator
import signal
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mlbuffet.artifact import check_artifact, check_files, check_regular, own_name
from mlbuffet.contents import failed_download
from mlbuffet.dimensions import OutputShapes
from mlbuffet.errors import DeadlineExceeded, LoadFailed, MLBuffetError, ModelClosed, NoRuntime, PredictFailed
from mlbuffet.load_context import LoadContext
from mlbuffet.parameters import NO_PARAMETERS
from mlbuffet.request import Request
from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.runtime_choice import Wanted
from mlbuffet.runtimes import Runtime, Runtimes
from mlbuffet.tensors import Signature, Signatures, Tensors, TensorSpec

_NONE: Mapping[str, Any] = MappingProxyType({})
_REFUSED = "the runtime refused it"

logger = logging.getLogger(__name__)


def load_artifact(
    path: Path,
    runtimes: Runtimes,
    runtime: Wanted,
    options: Mapping[str, Any],
    *,
    context: LoadContext | None = None,
    client_options: Mapping[str, Any] = _NONE,
    through: Callable[[Runtime], Runtime] = lambda runtime: runtime,
) -> "Model":
    """Load the artifact at ``path``, with the runtime that `Runtimes.select` gives for it.

    ``context`` says which model it is; without it the model is called after its path, and can call no others.
    ``client_options`` came with an upload; ``options`` go before them. ``through`` gives what stands for the runtime.
    Raises `ArtifactNotFound`, `ArtifactUnreadable`, `NoRuntime`, `AmbiguousRuntime`, `InvalidOptions` or `LoadFailed`.
    """
    check_artifact(path)
    try:
        chosen = runtimes.select(path, runtime)
        check_regular(path)
        combined = chosen.combined_options(options, client_options)
        with chosen.naming_options(client_options):
            return Model.load(through(chosen), path, combined, context)
    except (LoadFailed, NoRuntime) as error:  # runtimes need not know these causes
        check_files(path)
        if isinstance(error, LoadFailed) and (reason := failed_download(path) or _explained(error, runtimes, path)):
            raise LoadFailed(reason, path=path, runtime=error.runtime, detail=error.detail) from error
        raise


def _explained(error: LoadFailed, runtimes: Runtimes, path: Path) -> str | None:
    """What the runtime that failed, and was named without being asked, knows of the artifact."""
    return runtimes[error.runtime].explain(path) if error.runtime and error.runtime in runtimes else None


class Model:
    """A loaded model. Its methods may be called from several threads; as a context manager it closes itself."""

    def __init__(
        self,
        runtime: Runtime,
        path: Path,
        handle: Any,
        signatures: Signatures,
        *,
        options: Any,
        context: LoadContext,
        concurrency: int | None = None,
        memory: int | None = None,
    ) -> None:
        self.runtime = runtime
        self.path = path
        self.signatures = signatures
        self.options = options
        """What its runtime's ``load`` was given."""
        self.name = context.name
        """As clients know it; of an artifact that a program loaded by itself, the name of its file or folder."""
        self.version = context.version
        """``None`` for an artifact that a program loaded by itself."""
        self.concurrency = concurrency
        """How many calls it can run at once; ``None`` where its runtime does not say."""
        self.memory = memory
        """How many bytes it takes; ``None`` where its runtime does not say."""
        self._handle = handle
        self.wants_request = runtime.takes("predict", "request")
        """Whether its runtime looks at the request of a call."""
        self._predict: Callable[..., Any] = runtime.hook("predict")
        self._checks_shapes = not runtime.output_shapes_may_differ
        self._release = weakref.finalize(self, _unload, runtime.hook("unload"), handle, path)

    @classmethod
    def load(cls, runtime: Runtime, path: Path, options: Any, context: LoadContext | None = None) -> "Model":
        """Load ``path`` with ``runtime``, and `Runtime.combined_options`. Raises `InvalidOptions` or `LoadFailed`."""
        context = context or LoadContext(name=_name_of(path))
        with runtime.load_turn(), _load_errors(runtime, path):
            handle = runtime.hook("load")(path=path, options=options, context=context)
        try:
            with _load_errors(runtime, path):
                signatures = runtime.hook("signature")(model=handle)
                if not isinstance(signatures, Signatures):
                    detail = f"its signature hook returned {type(signatures).__name__}, not Signatures"
                    raise LoadFailed(_REFUSED, detail=detail)
                concurrency = _answer(runtime, "concurrency", handle, least=1)
                memory = _answer(runtime, "memory", handle, least=0)
        except MLBuffetError:
            _unload(runtime.hook("unload"), handle, path)
            raise
        return cls(
            runtime,
            path,
            handle,
            signatures,
            options=options,
            context=context,
            concurrency=concurrency,
            memory=memory,
        )

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        any_shape: bool = False,
        parameters: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """The outputs of one signature for ``inputs``, which are arrays, nested lists or scalars by name.

        ``signature`` names another than the default; ``outputs`` asks for some of the outputs, in that order. With
        ``any_shape`` a runtime that can take shapes other than those declared gets them, as TensorFlow Serving does it.
        ``parameters`` are values for those that the signature declares. ``deadline``, in the seconds of
        `time.monotonic`, is until when the outputs are of use: a call does not begin after it. During the call only a
        runtime that looks at it (`Request.deadline`) may end the call then; others run on.
        Raises `InvalidInput` where the call does not fit the signature, `PredictFailed` where the runtime fails,
        `DeadlineExceeded` where the deadline is over before the runtime is called.
        """
        name = self.signatures.resolve(signature)
        declared = self.signatures[name].variant_for(inputs)
        wanted = declared.check_outputs(outputs)
        any_shape = any_shape and self.runtime.takes_any_shape
        arrays = declared.check_inputs(inputs, any_shape=any_shape)
        if parameters or declared.parameters:
            parameters = declared.check_parameters(parameters)
        if not self._release.alive:
            raise ModelClosed(self.path)
        if deadline is not None and deadline <= time.monotonic():
            raise DeadlineExceeded(0)
        try:
            request = self._request(wanted, parameters, deadline) if self.wants_request else None
            results = self.compute(name, arrays, request)
        except MLBuffetError as error:
            if isinstance(error, PredictFailed) and not error.runtime:
                raise PredictFailed(self.runtime.name, name, error.detail, reason=error.reason) from error
            raise
        except BaseException as error:
            # Python's own response to Ctrl-C is for the program; a server handles Ctrl-C itself
            if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                raise
            declared.check_inputs(arrays)  # an undeclared shape is the cause then
            raise PredictFailed(self.runtime.name, name, f"{type(error).__name__}: {error}") from error
        return self._checked(results, name, declared, wanted, None if any_shape else arrays)

    def compute(self, signature: str, inputs: Tensors, request: Request | None) -> Any:
        """What the runtime gives, which is not looked at, for inputs that were checked; raises what it raises."""
        if request is None:
            return self._predict(model=self._handle, signature=signature, inputs=inputs)
        return self._predict(model=self._handle, signature=signature, inputs=inputs, request=request)

    def is_suspect(self, signature: str, inputs: Tensors) -> bool:
        """Whether a call is to run alone, because it may end the process that it runs in."""
        return self.runtime.is_suspect(self._handle, signature, inputs)

    def end_of_warmup(self) -> None:
        """What was called since the load was for warming it."""
        self.runtime.end_of_warmup(self._handle)

    def check_results(self, results: Any, signature: str, inputs: Tensors, wanted: Sequence[str]) -> None:
        """Raises `PredictFailed` where ``results`` of `compute` are not as declared; shapes may differ."""
        self._checked(results, signature, self.signatures[signature].variant_for(inputs), wanted, None)

    async def predict_async(
        self,
        inputs: Mapping[str, Any],
        *,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        any_shape: bool = False,
        parameters: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """`predict` for a coroutine, in a thread of its event loop's default executor, with the context of the caller.

        A call that is cancelled runs on to its end in its thread.
        """
        from asyncio import to_thread  # programs that do without import nothing of it

        return await to_thread(
            self.predict,
            inputs,
            signature=signature,
            outputs=outputs,
            any_shape=any_shape,
            parameters=parameters,
            deadline=deadline,
        )

    def close(self) -> None:
        """Release what the runtime holds; the second time does nothing. Calls that run must have ended."""
        self._release()
        self._handle = None

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied: a loaded model holds what belongs to its process."""
        raise TypeError(
            "a loaded model cannot be pickled or copied, for it holds threads and memory of its process; give its path "
            f"to the other process and load it there, as in mlbuffet.load({str(self.path)!r}); threads may share it"
        )

    def __repr__(self) -> str:
        return f"<Model '{self.path}' on {self.runtime.name!r}: {', '.join(self.signatures)}>"

    def _checked(
        self, results: Any, name: str, declared: Signature, wanted: Sequence[str], inputs: Tensors | None
    ) -> dict[str, NDArray[Any]]:
        """The outputs of a plugin, which may not be as its signature declares.

        Their shapes are held against it where ``inputs`` are given, whose shapes are as declared.
        """
        if type(results) is not dict and not isinstance(results, Mapping):  # asking the ABC takes 0.3 us
            self._fail(name, f"it returned {type(results).__name__}, not arrays by name")
        specs, shapes = declared.outputs, declared.output_shapes
        if results.keys() != specs.keys():
            specs = self._partial(results, name, declared, wanted)
            shapes = OutputShapes(declared.inputs.values(), specs.values())
        for output, spec in specs.items():
            array = results[output]
            if type(array) is not np.ndarray or (array.dtype is not spec.dtype and array.dtype != spec.dtype):
                kind = getattr(array, "dtype", None) or type(array).__name__
                bytes_wanted = "; text is bytes, in an array of object" if spec.dtype.kind == "O" else ""
                self._fail(
                    name,
                    f"its output {output!r} is {kind}, and its signature says an array of {spec.dtype}{bytes_wanted}",
                )
            if spec.dtype.kind == "O":
                for one in array.flat:  # a loop is the fastest for a few texts
                    if type(one) is not bytes:
                        kind = type(one).__name__
                        self._fail(name, f"its output {output!r} holds {kind}; text is bytes, such as 'a'.encode()")
        if inputs is not None and self._checks_shapes and (problem := shapes.misfit(inputs, results)):
            self._fail(name, problem)
        return {output: results[output] for output in wanted}

    def _partial(
        self, results: Mapping[str, Any], name: str, declared: Signature, wanted: Sequence[str]
    ) -> Mapping[str, TensorSpec]:
        """What is declared of the outputs of a plugin that knows which are wanted."""
        if not self.wants_request or not set(wanted) <= results.keys() <= declared.outputs.keys():
            them = f"; the request wants {sorted(wanted)}" if self.wants_request else ""
            self._fail(name, f"it returned {sorted(results)}, and its signature says {sorted(declared.outputs)}{them}")
        return {output: declared.outputs[output] for output in results}

    def _request(self, outputs: Sequence[str], parameters: Mapping[str, Any] | None, deadline: float | None) -> Request:
        return Request(
            model=self.name,
            version=self.version,
            outputs=tuple(outputs),
            ids=tuple(REQUEST_IDS.get().decode(errors="replace").split()),
            deadline=deadline,
            parameters=parameters or NO_PARAMETERS,
        )

    def _fail(self, signature: str, detail: str) -> NoReturn:
        raise PredictFailed(self.runtime.name, signature, detail)


@contextmanager
def _load_errors(runtime: Runtime, path: Path) -> Iterator[None]:
    """Raises what a hook raises while it loads ``path`` as an error for the caller."""
    try:
        yield
    except LoadFailed as error:
        raise LoadFailed(error.reason, path=path, runtime=runtime.name, detail=error.detail) from error
    except MLBuffetError:
        raise
    except (Exception, SystemExit) as error:
        detail = f"{type(error).__name__}: {error}"
        raise LoadFailed(_REFUSED, path=path, runtime=runtime.name, detail=detail) from error


def _answer(runtime: Runtime, hook: str, handle: Any, *, least: int) -> int | None:
    """What an optional hook says of a model. Raises `LoadFailed` for anything but a number that can be."""
    answer = runtime.hook(hook)(model=handle)
    if answer is None:
        return None
    try:
        number = operator.index(answer)  # numpy's integers, too
    except TypeError:
        number = least - 1
    if isinstance(answer, bool) or number < least:
        raise LoadFailed(_REFUSED, detail=f"its {hook} hook returned {answer!r}, not an int from {least}, or None")
    return number


def _name_of(path: Path) -> str:
    """What a server would call the model."""
    return path.stem if path.is_file() else own_name(path)


def _unload(unload: Callable[..., Any], handle: Any, path: Path) -> None:
    try:
        unload(model=handle)
    except (Exception, SystemExit):
        logger.exception("the runtime failed to unload '%s'", path)

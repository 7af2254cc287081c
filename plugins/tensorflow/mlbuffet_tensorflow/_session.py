"""A session that answers the calls of a loaded model."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.tensors import Signatures, Tensors
from mlbuffet_tensorflow._blame import invalid_input
from mlbuffet_tensorflow._checks import Checks
from mlbuffet_tensorflow._options import Options
from mlbuffet_tensorflow._signatures import Wiring
from mlbuffet_tensorflow._tensorflow import config_pb2, dismantle_graph, tf
from mlbuffet_tensorflow._variants import Call, choosing

_CALLING_THREAD = -1
_POOL_OF_THE_SESSION = 0


def open_session(options: Options) -> Any:
    """A session with a graph, variables and tables of its own."""
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    config.intra_op_parallelism_threads = options.intra_op_threads
    config.gpu_options.allow_growth = options.gpu_memory_growth
    if options.xla:
        config.graph_options.optimizer_options.global_jit_level = config_pb2.OptimizerOptions.ON_1
        config.graph_options.optimizer_options.cpu_global_jit = True
    if options.inter_op_threads > 1:
        config.inter_op_parallelism_threads = options.inter_op_threads
        config.use_per_session_threads = True
    return tf.compat.v1.Session(graph=tf.Graph(), config=config)


def close_session(session: Any) -> None:
    """Free weights, tables, threads and the graph, whose cycles would wait for Python's garbage collector."""
    session.close()
    dismantle_graph(session.graph)


@dataclass(frozen=True)
class Served:
    """What a model offers, and the parts of the graph that answer for each signature: one, or one for each trace."""

    signatures: Signatures
    variants: Mapping[str, Sequence[Wiring]]


class SessionModel:
    """The handle of a loaded SavedModel. Calls may come from several threads; they run without the GIL."""

    def __init__(self, session: Any, served: Served, options: Options, checks: Checks, *, reads_files: bool) -> None:
        self.signatures = served.signatures
        self._session = session
        self._variants = served.variants
        self._checks = checks
        self._pool = _POOL_OF_THE_SESSION if options.inter_op_threads > 1 else _CALLING_THREAD
        self.files = ExitStack()
        """What is to be removed with the model."""
        self.reads_files = reads_files
        """Whether a signature may read files of the artifact at each call."""
        self._calls: dict[str, Call] = {}
        self._making = threading.Lock()
        if self.signatures.default is not None:
            self._make(self.signatures.default)

    def predict(self, signature: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """All outputs of ``signature``. Raises `InvalidInput` where TensorFlow refuses the values."""
        call = self._calls.get(signature) or self._make(signature)
        try:
            return call(inputs)
        except tf.errors.InvalidArgumentError as error:
            if refusal := invalid_input(error.message, self._checks):
                raise refusal from error
            raise
        except UnicodeDecodeError as error:  # of TensorFlow's message, which repeats bytes that the caller sent
            message = error.object.decode(errors="backslashreplace")
            raise invalid_input(message, self._checks) or tf.errors.UnknownError(None, None, message) from error

    def close(self) -> None:
        """Give back weights, tables and threads."""
        self._calls.clear()
        close_session(self._session)
        self.files.close()

    def _make(self, signature: str) -> Call:
        """TensorFlow optimizes a signature's graph when its callable is made, which takes milliseconds to seconds and
        a copy of its constants; so those that are not the default are made when they are first called.
        """
        with self._making:
            if signature not in self._calls:
                calls = [(each.signature, _Call(self._session, each, self._pool)) for each in self._variants[signature]]
                self._calls[signature] = calls[0][1] if len(calls) == 1 else choosing(calls)
            return self._calls[signature]


class _Call:
    """One signature as a function of arrays."""

    def __init__(self, session: Any, wiring: Wiring, pool: int) -> None:
        fetches = tuple(dict.fromkeys(tensor for tensor in wiring.fetches if tensor not in wiring.feeds))
        available = (*fetches, *wiring.feeds)  # a tensor that is fed cannot be fetched
        self._run = _callable(session, wiring.feeds, fetches, pool) if fetches else _nothing
        self._inputs = tuple(wiring.signature.inputs)
        self._outputs = tuple(
            (spec.name, spec.dtype, available.index(tensor))
            for spec, tensor in zip(wiring.signature.outputs.values(), wiring.fetches, strict=True)
        )
        self._keeps_inputs = wiring.keeps_inputs

    def __call__(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        # A session neither copies what it takes nor what it gives: an output may be the memory of an input, of
        # another output or of a variable, and a variable may go on living in an input's.
        feeds = [inputs[name].copy() if self._keeps_inputs else inputs[name] for name in self._inputs]
        available = [*self._run(*feeds), *feeds]
        return {name: np.array(available[index], dtype=dtype) for name, dtype, index in self._outputs}


def _callable(session: Any, feeds: Sequence[str], fetches: Sequence[str], pool: int) -> Callable[..., list[Any]]:
    """A function of arrays that runs part of the session's graph.

    Not public, but what Keras' backend was built on: a twentieth of the price of ``session.run``.
    """
    options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
    options.run_options.inter_op_thread_pool = pool
    run: Callable[..., list[Any]] = session._make_callable_from_options(options)
    return run


def _nothing(*_feeds: NDArray[Any]) -> list[Any]:
    return []

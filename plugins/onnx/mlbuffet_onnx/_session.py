"""A session of onnxruntime: created, and run the shortest way that the types of the model allow."""

import ctypes
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.errors import InvalidOptions, LoadFailed
from mlbuffet.tensors import Tensors
from mlbuffet_onnx._failures import ERRORS, load_failure
from mlbuffet_onnx._onnxruntime import native, onnxruntime
from mlbuffet_onnx._options import Options
from mlbuffet_onnx._ports import Port, refuse_mixture
from mlbuffet_onnx._stderr import stderr_to_logging
from mlbuffet_onnx._values import (
    InputConversion,
    OutputConversion,
    maps_output,
    moved_input,
    moved_output,
    native_input,
    text_input,
    text_output,
)

Run = Callable[[Tensors], Sequence[NDArray[Any]]]

_ERROR, _NOTHING = 3, 4  # severities, as the least that is written to stderr
_OPTIMIZATION = {
    "disable": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def create_session(file: Path, options: Options, libraries: Iterable[Path] = ()) -> onnxruntime.InferenceSession:
    """The model in ``file`` with the operators of ``libraries``, ready to run.

    Raises `InvalidOptions`, `LoadFailed` or an error of onnxruntime.
    """
    _check_providers(options)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.intra_op_threads
    settings.inter_op_num_threads = options.inter_op_threads
    for pool in ("intra", "inter"):
        settings.add_session_config_entry(f"session.{pool}_op.allow_spinning", str(int(options.spinning)))
    if options.inter_op_threads > 1:
        settings.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    settings.graph_optimization_level = _OPTIMIZATION[options.graph_optimization]
    try:
        with stderr_to_logging() as is_logged:
            # what is an error is in the exception as well
            settings.log_severity_level = _ERROR if is_logged else _NOTHING
            for library in libraries:
                _register(settings, library)
            # without the fallback to another provider, which prints to stdout
            return onnxruntime.InferenceSession(str(file), settings, options.providers, enable_fallback=0)
    except ERRORS as error:
        if failure := load_failure(error):
            raise failure from error
        raise


def _register(settings: onnxruntime.SessionOptions, library: Path) -> None:
    try:
        # onnxruntime unloads a library with its last session, and one that is loaded again then may crash: it stays
        ctypes.CDLL(str(library))
        settings.register_custom_ops_library(str(library))
    except (OSError, *ERRORS) as error:
        reason = (
            "a library of custom_op_libraries cannot be loaded: it has no operators for onnxruntime, or was built for "
            "another onnxruntime or another machine"
        )
        raise LoadFailed(reason, detail=str(error)) from error


def runner(session: onnxruntime.InferenceSession, inputs: Sequence[Port], outputs: Sequence[Port]) -> Run:
    """The way to run ``session``: at once where numpy and onnxruntime agree on all types, else with conversions."""
    quiet = onnxruntime.RunOptions()
    quiet.log_severity_level = _NOTHING  # what a failed run says is in the exception
    names = [port.name for port in outputs]
    if any(port.element.moved for port in outputs):
        refuse_mixture(inputs, outputs)
        return _converting(
            lambda feeds: session.run_with_ort_values(names, feeds, quiet),
            {port.name: moved_input(port.element) if port.element.moved else native_input for port in inputs},
            [moved_output(port.element) for port in outputs],
        )
    run = _native(session)
    into = {port.name: _input_conversion(port) for port in inputs}
    out = [_output_conversion(port, into) for port in outputs]
    if any(into.values()) or any(out):
        return _converting(lambda feeds: run(names, feeds, quiet), into, out)
    return lambda feeds: run(names, feeds, quiet)


def _native(session: onnxruntime.InferenceSession) -> Callable[..., list[Any]]:
    """``session.run`` without its checks of inputs, which were checked before: a quarter of a small model's price.

    Not public. Where a provider fails, ``session.run`` itself goes on with the next one.
    """

    def run(names: Sequence[str], feeds: Tensors, options: Any) -> list[Any]:
        try:
            return session._sess.run(names, feeds, options)  # type: ignore[no-any-return]  # anew: a fallback replaces it
        except native.EPFail:
            return session.run(names, feeds, options)  # type: ignore[no-any-return]

    return run


def _converting(
    run: Callable[[Mapping[str, Any]], list[Any]],
    into: Mapping[str, InputConversion | None],
    out: Sequence[OutputConversion | None],
) -> Run:
    inputs = {name: convert for name, convert in into.items() if convert}
    outputs = [(position, convert) for position, convert in enumerate(out) if convert]

    def convert_and_run(arrays: Tensors) -> list[NDArray[Any]]:
        feeds = arrays
        if inputs:
            feeds = {**arrays, **{name: convert(arrays[name]) for name, convert in inputs.items() if name in arrays}}
        values = run(feeds)
        for position, convert in outputs:
            values[position] = convert(values[position])
        return values

    return convert_and_run


def _input_conversion(port: Port) -> InputConversion | None:
    if port.element.moved:
        return moved_input(port.element)
    return text_input(port.name) if port.element.is_text else None


def _output_conversion(port: Port, inputs: Container[str]) -> OutputConversion | None:
    if port.is_maps:
        return maps_output(port.spec)
    if port.element.is_text:
        return text_output
    return np.array if port.name in inputs else None  # onnxruntime 1.20 gives the caller's own array back


def _check_providers(options: Options) -> None:
    if options.providers is None:
        return
    available = onnxruntime.get_available_providers()
    names = [provider if isinstance(provider, str) else provider[0] for provider in options.providers]
    for position, name in enumerate(names):
        if name not in available:
            raise InvalidOptions(f"the provider {name!r} is not available here, which has {', '.join(available)}")
        if name in names[:position]:
            raise InvalidOptions(f"the provider {name!r} is named twice")

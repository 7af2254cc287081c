"""Python functions written into a SavedModel as signatures, with their inputs and outputs in order and by name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlbuffet.tensors import Signature, TensorSpec
from mlbuffet_tensorflow._signatures import Inexpressible, Wiring, array_dtype, report_left_out
from mlbuffet_tensorflow._tensorflow import tf


@dataclass(frozen=True)
class Function:
    """A function of tensors: ``inputs`` are the names and specs of its arguments, its result a nest of tensors."""

    call: Callable[..., Any]
    inputs: Sequence[tuple[str, Any]]
    name_outputs: Callable[[Any], Iterable[tuple[str, Any]]]
    """The names of the tensors in a result, with those tensors."""


@dataclass(frozen=True)
class Written:
    """A signature that was written: the names of its inputs and outputs, in order."""

    function: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


Save = Callable[[Mapping[str, Any]], None]


def write(functions: Mapping[str, Function], save: Save) -> tuple[dict[str, Written], dict[str, str]]:
    """Trace ``functions`` and ``save`` those that named tensors can express; these, and why the others are left out.

    The file calls them input_0, output_0 and so on: it takes neither every name nor any order.
    """
    written: dict[str, Written] = {}
    left_out: dict[str, str] = {}
    for name, function in functions.items():
        try:
            written[name] = _traced(function)
        except Inexpressible as reason:
            left_out[name] = str(reason)
    report_left_out("functions", left_out, any_left=bool(written))
    save({name: each.function for name, each in written.items()})
    return written, left_out


def rename(wiring: Wiring, written: Written) -> Wiring:
    """``wiring``, read from the file, with the names that the function gave."""
    signature = wiring.signature
    return replace(
        wiring,
        signature=Signature(
            _renamed(signature.inputs, written.inputs), _renamed(signature.outputs, written.outputs), signature.method
        ),
    )


def unique(names: Iterable[str]) -> list[str]:
    """``names``, and a number after those that were there before."""
    given: list[str] = []
    for name in names:
        number, free = 0, name
        while free in given:
            number += 1
            free = f"{name}_{number}"
        given.append(free)
    return given


def leaves(nest: Any, path: str = "") -> list[tuple[str, Any]]:
    """What ``nest`` holds, named by the keys and positions that lead there, in TensorFlow's order."""
    if isinstance(nest, Mapping):
        pairs: Iterable[tuple[Any, Any]] = sorted(nest.items())
    elif isinstance(nest, tuple) and hasattr(nest, "_fields"):
        pairs = zip(nest._fields, nest, strict=True)
    elif isinstance(nest, list | tuple):
        pairs = enumerate(nest)
    else:
        return [(path, nest)]
    return [leaf for key, value in pairs for leaf in leaves(value, f"{path}_{key}" if path else str(key))]


def named_leaves(result: Any) -> list[tuple[str, Any]]:
    """The tensors of a function's result as TensorFlow names them: a dict's keys, else output_0 and so on."""
    if isinstance(result, Mapping):
        return leaves(result)
    return [(f"output_{number}", tensor) for number, (_, tensor) in enumerate(leaves(result))]


def _traced(function: Function) -> Written:
    for name, spec in function.inputs:
        _check(name, spec, "take")
    outputs: list[str] = []

    def call(*tensors: Any) -> dict[str, Any]:
        named = list(function.name_outputs(function.call(*tensors)))
        outputs[:] = unique(name for name, _ in named)
        return {f"output_{number}": _tensor(name, value) for number, (name, value) in enumerate(named)}

    specs = [
        tf.TensorSpec(spec.shape, spec.dtype, f"input_{number}") for number, (_, spec) in enumerate(function.inputs)
    ]
    compiled = tf.function(call, input_signature=specs, autograph=False)
    compiled.get_concrete_function()
    if not outputs:
        raise Inexpressible("it has no outputs")
    return Written(compiled, tuple(unique(name for name, _ in function.inputs)), tuple(outputs))


def _tensor(name: str, value: Any) -> Any:
    if value is None:
        raise Inexpressible(f"{name!r} is None, no tensor; return tensors")
    if isinstance(value, tf.__internal__.CompositeTensor):
        _check(name, tf.type_spec_from_value(value), "return")
    tensor = tf.identity(value)
    array_dtype(name, tensor.dtype)
    return tensor


def _check(name: str, spec: Any, verb: str) -> None:
    """Raise `Inexpressible` unless ``spec`` is that of a tensor that arrays can be."""
    if not isinstance(spec, tf.TensorSpec):
        kind = type(spec).__qualname__.removesuffix("Spec").removesuffix(".")
        raise Inexpressible(f"{name!r} is no dense tensor but {kind}; {verb} its parts, or a dense one")
    array_dtype(name, spec.dtype)


def _renamed(specs: Mapping[str, TensorSpec], names: Sequence[str]) -> list[TensorSpec]:
    return [TensorSpec(name, spec.dtype, spec.shape) for name, spec in zip(names, specs.values(), strict=True)]


def save_module(module: Any, folder: Path) -> Save:
    """Saving signatures with ``module``, which holds the variables, tables and files that they use."""
    return lambda signatures: tf.saved_model.save(module, str(folder), signatures=signatures)

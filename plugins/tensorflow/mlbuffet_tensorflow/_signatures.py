"""The signatures of a meta graph, and the tensors that they are wired to."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, TensorSpec
from mlbuffet_tensorflow._graph import Graph
from mlbuffet_tensorflow._options import invalid_options
from mlbuffet_tensorflow._refusals import no_signatures
from mlbuffet_tensorflow._saved_model import MetaGraph
from mlbuffet_tensorflow._tensorflow import tf

INIT_OP = "__saved_model_init_op"  # TensorFlow keeps the op that fills tables among the signatures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wiring:
    """A signature, and the graph's tensors behind its inputs and outputs, in the signature's order."""

    signature: Signature
    feeds: tuple[str, ...]
    fetches: tuple[str, ...]
    keeps_inputs: bool
    """Whether a call may put an input away in a variable or a queue, where it outlives the call."""


class _Inexpressible(Exception):
    """Why a signature cannot be one of named tensors."""


def wire(meta_graph: MetaGraph) -> dict[str, Wiring]:
    """Every signature by name; those that named tensors cannot express are left out, with a warning in the log.

    Raises `LoadFailed` where none is left.
    """
    graph = Graph(meta_graph.graph_def)
    wirings: dict[str, Wiring] = {}
    refused: list[str] = []
    for name, definition in sorted(meta_graph.signature_def.items()):
        if name == INIT_OP:
            continue
        try:
            wirings[name] = _wiring(graph, definition)
        except _Inexpressible as reason:
            refused.append(f"{name!r}: {reason}")
    match bool(wirings), bool(refused):
        case False, False:
            raise no_signatures(meta_graph)
        case False, True:
            raise LoadFailed(f"none of its signatures can be served: {'; '.join(refused)}")
        case True, True:
            logger.warning("some signatures cannot be served: %s", "; ".join(refused))
    return wirings


def default_signature(meta_graph: MetaGraph, wirings: Mapping[str, Wiring], asked: str | None) -> str | None:
    """The one asked for, else ``serving_default``, else the only one; where the file has several others, none.

    A ``serving_default`` that cannot be served has no stand-in: another function would answer in its name.
    """
    if asked is not None and asked not in wirings:
        raise invalid_options(f"there is no signature {asked!r}; the model has: {', '.join(wirings)}")
    if asked is not None:
        return asked
    if DEFAULT_SIGNATURE in meta_graph.signature_def:
        return DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in wirings else None
    return next(iter(wirings)) if len(wirings) == 1 else None


def _wiring(graph: Graph, definition: Any) -> Wiring:
    inputs = {name: _tensor(graph, name, info) for name, info in definition.inputs.items()}
    outputs = {name: _tensor(graph, name, info) for name, info in definition.outputs.items()}
    if not outputs:
        raise _Inexpressible("it has no outputs")
    if len(set(inputs.values())) < len(inputs):
        raise _Inexpressible("two of its inputs are one tensor of the graph")
    declared = graph.declared_order(inputs.values(), outputs.values())
    input_names = sorted(inputs, key=lambda name: (_position(declared, inputs[name]), _natural(name)))
    output_names = sorted(outputs, key=_natural)
    return Wiring(
        Signature(
            [_spec(name, definition.inputs[name]) for name in input_names],
            [_spec(name, definition.outputs[name]) for name in output_names],
            _method(definition.method_name),
        ),
        feeds=tuple(inputs[name] for name in input_names),
        fetches=tuple(outputs[name] for name in output_names),
        keeps_inputs=graph.keeps_tensors(outputs.values()),
    )


def _tensor(graph: Graph, name: str, info: Any) -> str:
    """The full name of a tensor, so that one tensor has one name."""
    kind = info.WhichOneof("encoding")
    if kind != "name":
        what = {"coo_sparse": "a sparse tensor", "composite_tensor": "a ragged or other composite tensor"}
        raise _Inexpressible(
            f"{name!r} is {what.get(kind, 'no tensor')}; save a signature of dense tensors, or of its parts"
        )
    if info.name not in graph:
        raise _Inexpressible(f"{name!r} is not in the graph; save the model again")
    return info.name if ":" in info.name else f"{info.name}:0"


def _spec(name: str, info: Any) -> TensorSpec:
    shape = None
    if info.HasField("tensor_shape") and not info.tensor_shape.unknown_rank:
        shape = [None if dimension.size < 0 else dimension.size for dimension in info.tensor_shape.dim]
    try:
        return TensorSpec(name, tf.as_dtype(info.dtype).as_numpy_dtype, shape)
    except (TypeError, ValueError, KeyError):  # resources, variants, quantized integers
        raise _Inexpressible(f"{name!r} has a type that no array has; save a signature with plain tensors") from None


def _method(name: str) -> Literal["predict", "classify", "regress"]:
    match name:
        case "tensorflow/serving/classify":
            return "classify"
        case "tensorflow/serving/regress":
            return "regress"
        case _:
            return "predict"


def _position(declared: list[str], tensor: str) -> int:
    return declared.index(tensor) if tensor in declared else len(declared)


def _natural(name: str) -> list[tuple[str, int]]:
    """A sorting key that puts ``output_2`` before ``output_10``: so does the tuple that the function returned."""
    return [(text, int(number or 0)) for text, number in re.findall(r"([^0-9]*)([0-9]*)", name)]

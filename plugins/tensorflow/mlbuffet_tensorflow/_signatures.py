"""The signatures of a meta graph, and the tensors that they are wired to."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Signature, TensorSpec
from mlbuffet_tensorflow._graph import Graph
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


class Inexpressible(Exception):
    """Why a signature cannot be one of named tensors."""


class Wired(NamedTuple):
    """The signatures that can be served, and why the others cannot."""

    wirings: dict[str, Wiring]
    left_out: dict[str, str]


def signature_names(meta_graph: MetaGraph) -> list[str]:
    """The signatures that the file declares, sorted."""
    return sorted(name for name in meta_graph.signature_def if name != INIT_OP)


def wire(meta_graph: MetaGraph) -> Wired:
    """Every signature by name; those that named tensors cannot express are left out, with a warning in the log.

    Raises `LoadFailed` where none is left.
    """
    graph = Graph(meta_graph.graph_def)
    wired = Wired({}, {})
    for name in signature_names(meta_graph):
        try:
            wired.wirings[name] = _wiring(graph, meta_graph.signature_def[name])
        except Inexpressible as reason:
            wired.left_out[name] = str(reason)
    report_left_out(wired.left_out, any_left=bool(wired.wirings))
    return wired


def report_left_out(left_out: Mapping[str, str], *, any_left: bool) -> None:
    """Say in the log what is not served; `LoadFailed` where nothing is."""
    reasons = "; ".join(f"{name!r}: {reason}" for name, reason in left_out.items())
    if not any_left:
        raise LoadFailed(f"none of its signatures can be served: {reasons}")
    if left_out:
        logger.warning("some signatures cannot be served: %s", reasons)


def _wiring(graph: Graph, definition: Any) -> Wiring:
    inputs = {name: _tensor(graph, name, info) for name, info in definition.inputs.items()}
    outputs = {name: _tensor(graph, name, info) for name, info in definition.outputs.items()}
    if not outputs:
        raise Inexpressible("it has no outputs")
    if len(set(inputs.values())) < len(inputs):
        raise Inexpressible("two of its inputs are one tensor of the graph")
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
        raise Inexpressible(
            f"{name!r} is {what.get(kind, 'no tensor')}; save a signature of dense tensors, or of its parts"
        )
    if info.name not in graph:
        raise Inexpressible(f"{name!r} is not in the graph; save the model again")
    return info.name if ":" in info.name else f"{info.name}:0"


def _spec(name: str, info: Any) -> TensorSpec:
    shape = None
    if info.HasField("tensor_shape") and not info.tensor_shape.unknown_rank:
        shape = [None if dimension.size < 0 else dimension.size for dimension in info.tensor_shape.dim]
    try:
        return TensorSpec(name, tf.as_dtype(info.dtype).as_numpy_dtype, shape)
    except (TypeError, ValueError, KeyError):  # resources, variants, quantized integers
        raise Inexpressible(f"{name!r} has a type that no array has; save a signature with plain tensors") from None


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

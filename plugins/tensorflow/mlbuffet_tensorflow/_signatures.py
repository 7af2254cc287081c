"""The signatures of a meta graph, and the tensors that they are wired to."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Shape, Signature, TensorSpec
from mlbuffet_tensorflow._graph import Graph
from mlbuffet_tensorflow._saved_model import MetaGraph

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


class Port(NamedTuple):
    """An input or an output, and the full name of its tensor in the graph, so that one tensor has one name."""

    spec: TensorSpec
    tensor: str


class Wired(NamedTuple):
    """The signatures that can be served, and why the others cannot."""

    wirings: dict[str, Wiring]
    left_out: dict[str, str]


def signature_names(meta_graph: MetaGraph) -> list[str]:
    """The signatures that the file declares, sorted."""
    return sorted(name for name in meta_graph.signature_def if name != INIT_OP)


def wire(meta_graph: MetaGraph, loaded: Any) -> Wired:
    """Every signature by name, wired to ``loaded``, the tf.Graph that was made of the file's graph.

    Those that named tensors cannot express are left out, with a warning in the log. Raises `LoadFailed` where none is
    left.
    """
    graph = Graph(meta_graph.graph_def)
    wired = Wired({}, {})
    for name in signature_names(meta_graph):
        try:
            wired.wirings[name] = _wiring(graph, loaded, meta_graph.signature_def[name])
        except Inexpressible as reason:
            wired.left_out[name] = str(reason)
    report_left_out("signatures", wired.left_out, any_left=bool(wired.wirings))
    return wired


def wired_to_copy(file: Wired, copy: Wired) -> Wired:
    """The signatures as ``file`` declares them, wired to the graph of a copy that was saved of it."""
    wirings = {}
    for name, wiring in file.wirings.items():
        there = copy.wirings[name]
        feeds = dict(zip(there.signature.inputs, there.feeds, strict=True))
        fetches = dict(zip(there.signature.outputs, there.fetches, strict=True))
        wirings[name] = replace(
            there,
            signature=wiring.signature,
            feeds=tuple(map(feeds.__getitem__, wiring.signature.inputs)),
            fetches=tuple(map(fetches.__getitem__, wiring.signature.outputs)),
        )
    return Wired(wirings, file.left_out)


def report_left_out(what: str, left_out: Mapping[str, str], *, any_left: bool) -> None:
    """Say in the log what is not served; `LoadFailed` where nothing is."""
    reasons = "; ".join(f"{name!r}: {reason}" for name, reason in left_out.items())
    if not any_left:
        raise LoadFailed(f"none of its {what} can be served: {reasons}")
    if left_out:
        logger.warning("some %s cannot be served: %s", what, reasons)


def array_dtype(name: str, dtype: Any) -> np.dtype[Any]:
    """The dtype of the arrays of a tensor ``name``. Raises `Inexpressible` where there are none."""
    try:
        return TensorSpec(name, dtype.base_dtype.as_numpy_dtype, None).dtype
    except (TypeError, ValueError, KeyError):  # resources, variants, quantized integers
        raise Inexpressible(f"{name!r} has a type that no array has; save a signature with plain tensors") from None


def _wiring(graph: Graph, loaded: Any, definition: Any) -> Wiring:
    inputs = {name: _port(loaded, name, info) for name, info in definition.inputs.items()}
    outputs = {name: _port(loaded, name, info) for name, info in definition.outputs.items()}
    if not outputs:
        raise Inexpressible("it has no outputs")
    if len({port.tensor for port in inputs.values()}) < len(inputs):
        raise Inexpressible("two of its inputs are one tensor of the graph")
    fetched = [port.tensor for port in outputs.values()]
    declared = graph.declared_order([port.tensor for port in inputs.values()], fetched)
    into = [
        inputs[name]
        for name in sorted(inputs, key=lambda name: (_position(declared, inputs[name].tensor), _natural(name)))
    ]
    out = [outputs[name] for name in sorted(outputs, key=_natural)]
    return Wiring(
        Signature([port.spec for port in into], [port.spec for port in out], _method(definition.method_name)),
        feeds=tuple(port.tensor for port in into),
        fetches=tuple(port.tensor for port in out),
        keeps_inputs=graph.keeps_tensors(fetched),
    )


def _port(loaded: Any, name: str, info: Any) -> Port:
    """What the graph says of a tensor counts, as in TensorFlow Serving: what the signature says of it may be wrong."""
    kind = info.WhichOneof("encoding")
    if kind != "name":
        what = {"coo_sparse": "a sparse tensor", "composite_tensor": "a ragged or other composite tensor"}
        raise Inexpressible(
            f"{name!r} is {what.get(kind, 'no tensor')}; save a signature of dense tensors, or of its parts"
        )
    try:
        tensor = loaded.get_tensor_by_name(info.name if ":" in info.name else f"{info.name}:0")
    except (KeyError, ValueError):
        raise Inexpressible(
            f"{name!r} is not in the graph, which has no tensor {info.name!r}; save the model again"
        ) from None
    spec = TensorSpec(name, array_dtype(name, tensor.dtype), _shape(tensor, info), wire_name=info.name)
    return Port(spec, tensor.name)


def _shape(tensor: Any, info: Any) -> Shape:
    """The graph's; where it does not know the rank, the signature's, in which no dimensions are those of no shape at
    all: early files have it so.
    """
    if tensor.shape.rank is not None:
        return tuple(tensor.shape.as_list())
    sizes = tuple(None if dimension.size < 0 else dimension.size for dimension in info.tensor_shape.dim)
    return sizes or None


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

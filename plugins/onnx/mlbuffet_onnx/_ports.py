"""The inputs and outputs of a model: which types and shapes they have, and which are refused."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Shape, TensorSpec
from mlbuffet_onnx._elements import ELEMENT_TYPES, ElementType
from mlbuffet_onnx._graph import Graph

Side = Literal["input", "output"]

_TENSOR = re.compile(r"tensor\((\w+)\)")
_MAPS = re.compile(r"seq\(map\((?:int64|string),tensor\((\w+)\)\)\)")
_ADVICE = {
    "seq(": "make one tensor of it in the graph (ConcatFromSequence), or one for each element (SequenceAt)",
    "map(": "give keys and values as two tensors",
    "seq(map(": "leave out what makes or reads the maps",
    "optional(": "give a plain tensor (OptionalGetElement)",
    "sparse_tensor(": "give a dense tensor",
}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: its spec, its elements, and whether it is a sequence of maps in truth."""

    spec: TensorSpec
    element: ElementType
    is_maps: bool = False

    @property
    def name(self) -> str:
        return self.spec.name


def input_port(node: Any, graph: Graph) -> Port:
    """The input that onnxruntime describes as ``node``; `LoadFailed` if it is no tensor."""
    element = _element("input", node)
    return Port(TensorSpec(node.name, element.dtype, _shape(node, graph)), element)


def output_port(node: Any, graph: Graph) -> Port:
    """The output that onnxruntime describes as ``node``; `LoadFailed` if it is neither a tensor nor a ZipMap's."""
    if match := _MAPS.fullmatch(node.type):
        element = ELEMENT_TYPES[match[1]]
        return Port(TensorSpec(node.name, element.dtype, (None, graph.map_sizes.get(node.name))), element, is_maps=True)
    element = _element("output", node)
    return Port(TensorSpec(node.name, element.dtype, _shape(node, graph)), element)


def refuse_mixture(inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
    """`LoadFailed` if outputs that onnxruntime hands over only as OrtValues stand beside values that cannot be."""
    others = [port.name for port in inputs if port.element.is_text] + [port.name for port in outputs if port.is_maps]
    if others:
        moved = next(port for port in outputs if port.element.moved)
        raise LoadFailed(
            f"its output {moved.name!r} is {moved.spec.dtype}, which ONNX Runtime cannot hand over beside text inputs "
            f"and maps such as {others[0]!r}; cast {moved.name!r} to float in the graph, and export it again"
        )


def _element(side: Side, node: Any) -> ElementType:
    match = _TENSOR.fullmatch(node.type)
    if match and match[1] in ELEMENT_TYPES:
        return ELEMENT_TYPES[match[1]]
    advice = next(
        (text for start, text in reversed(_ADVICE.items()) if node.type.startswith(start)), "use another type"
    )
    raise LoadFailed(
        f"its {side} {node.name!r} is of type {node.type}, and MLBuffet serves tensors; {advice}, and export it again"
    )


def _shape(node: Any, graph: Graph) -> Shape:
    """The file's own word, with the sizes that it leaves free and onnxruntime infers.

    ``node.shape`` is ``[]`` for a scalar and for an unknown rank alike.
    """
    value = graph.values.get(node.name)
    inferred = tuple(size if isinstance(size, int) and size >= 0 else None for size in node.shape)
    if value is None or value.shape is None:
        return inferred or None
    if len(inferred) != len(value.shape):
        return value.shape
    return tuple(known if size is None else size for size, known in zip(value.shape, inferred, strict=True))

"""The inputs and outputs of a model: which types and shapes they have, and which are refused."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Shape, TensorSpec
from mlbuffet_onnx._elements import ELEMENT_TYPES, ElementType
from mlbuffet_onnx._graph import Graph

Side = Literal["input", "output"]

_TENSOR = re.compile(r"tensor\((\w+)\)")
_MAPS = re.compile(r"seq\(map\((?:int64|string),tensor\((\w+)\)\)\)")
_PLACEHOLDERS = ("None", "Unknown", "unknown")
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


def input_port(node: Any, graph: Graph, *, optional: bool = False) -> Port:
    """The input that onnxruntime describes as ``node``; `LoadFailed` if it is no tensor."""
    element = _element("input", node)
    return Port(TensorSpec(node.name, element.dtype, _shape(node, graph), optional=optional), element)


def optional_ports(initializers: Iterable[Any], graph: Graph, outputs: Sequence[Port]) -> list[Port]:
    """The initializers that are inputs, too, but for those that cannot be given: they keep the values in the file."""
    ports = []
    moved = any(port.element.moved for port in outputs)
    for node in initializers:
        with suppress(LoadFailed):
            port = input_port(node, graph, optional=True)
            if not (moved and port.element.is_text):
                ports.append(port)
    return ports


def output_port(node: Any, graph: Graph) -> Port:
    """The output that onnxruntime describes as ``node``; `LoadFailed` if it is neither a tensor nor a ZipMap's."""
    if match := _MAPS.fullmatch(node.type):
        element = ELEMENT_TYPES[match[1]]
        keys = graph.map_keys.get(node.name)
        shape = (None, None if keys is None else len(keys))
        return Port(TensorSpec(node.name, element.dtype, shape, labels=keys or ()), element, is_maps=True)
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
    inferred = tuple(map(_dimension, node.shape))
    if value is None or value.shape is None:
        return inferred or None
    declared = tuple(_dimension(size) for size in value.shape)
    if len(inferred) != len(declared):
        return declared
    pairs = zip(declared, inferred, strict=True)
    return tuple(known if size is None or isinstance(known, int) else size for size, known in pairs)


def _dimension(size: int | str | None) -> int | str | None:
    """A size, or a symbol that is a name and no placeholder of an exporter for what it does not know."""
    if isinstance(size, str):
        return size if any(map(str.isalpha, size)) and size not in _PLACEHOLDERS else None
    return None if size is None or size < 0 else size  # some exporters write -1 for a free dimension

"""Properties of the graph in an ONNX file that onnxruntime does not expose."""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlbuffet.tensors import Shape
from mlbuffet_onnx._protobuf import BYTES, Buffer, Field, fields, signed, varints


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output: its shape with the symbols of the file, ``None`` where it gives none."""

    shape: Shape = None


@dataclass(frozen=True, slots=True)
class Graph:
    """The values at the edge of a model's graph, and what its nodes do with its weights."""

    values: dict[str, Value] = field(default_factory=dict)
    map_keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The keys of the maps that a ZipMap puts out, in ascending order, by the name of its output."""
    initializers: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)

    @property
    def unused(self) -> list[str]:
        """The initializers that nothing reads."""
        return sorted(self.initializers - self.used)


def read_graph(path: Path) -> Graph:
    """The main graph of the model in ``path``, its weights skipped; ``ValueError`` where the file is no model."""
    graph = Graph()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for part in _parts(data, 0, len(data), _Model.GRAPH):
            _read_graph(graph, data, part)
    return graph


# The field numbers of onnx.proto


class _Model:
    GRAPH = 7


class _Graph:
    NODE, INITIALIZER, INPUT, OUTPUT, SPARSE_INITIALIZER = 1, 5, 11, 12, 15


class _Node:
    INPUT, OUTPUT, OPERATOR, ATTRIBUTE = 1, 2, 4, 5


class _Attribute:
    NAME, GRAPH, INTS, STRINGS, GRAPHS = 1, 6, 8, 9, 11


class _Tensor:
    NAME = 8


class _SparseTensor:
    VALUES = 1


class _Value:
    NAME, TYPE = 1, 2


class _Type:
    TENSOR = 1


class _TensorType:
    SHAPE = 2


class _Shape:
    DIMENSION = 1


class _Dimension:
    SIZE, SYMBOL = 1, 2


def _read_graph(graph: Graph, data: Buffer, whole: Field) -> None:
    for part in fields(data, whole.start, whole.end):
        match part.number:
            case _Graph.NODE:
                _read_node(graph, data[part.start : part.end])
            case _Graph.INITIALIZER:
                graph.initializers.add(text_of(data, part, _Tensor.NAME))
            case _Graph.SPARSE_INITIALIZER:
                values = _parts(data, part.start, part.end, _SparseTensor.VALUES)
                graph.initializers.update(text_of(data, tensor, _Tensor.NAME) for tensor in values)
            case _Graph.INPUT:
                graph.values[text_of(data, part, _Value.NAME)] = _read_value(data, part)
            case _Graph.OUTPUT:
                name = text_of(data, part, _Value.NAME)
                graph.values[name] = _read_value(data, part)
                graph.used.add(name)


def _read_node(graph: Graph, node: bytes) -> None:
    outputs = []
    operator = ""
    map_keys: tuple[str, ...] = ()
    for part in fields(node, 0, len(node)):
        match part.number:
            case _Node.INPUT:
                graph.used.add(node[part.start : part.end].decode())
            case _Node.OUTPUT:
                outputs.append(node[part.start : part.end].decode())
            case _Node.OPERATOR:
                operator = node[part.start : part.end].decode()
            case _Node.ATTRIBUTE:
                map_keys = _read_attribute(graph, node, part) or map_keys
    if operator == "ZipMap":
        graph.map_keys[outputs[0]] = map_keys


def _read_attribute(graph: Graph, node: bytes, whole: Field) -> tuple[str, ...]:
    """Notes what subgraphs use; returns the class labels that the attribute holds, in ascending order."""
    texts: set[bytes] = set()
    numbers: set[int] = set()
    is_labels = False
    for part in fields(node, whole.start, whole.end):
        match part.number:
            case _Attribute.NAME:
                is_labels = node[part.start : part.end].startswith(b"classlabels_")
            case _Attribute.GRAPH | _Attribute.GRAPHS:
                _read_subgraph(graph, node, part)
            case _Attribute.STRINGS if is_labels:
                texts.add(node[part.start : part.end])
            case _Attribute.INTS if is_labels:
                numbers.update(map(signed, varints(node, part)))
    return (*map(str, sorted(numbers)), *(text.decode(errors="replace") for text in sorted(texts)))


def _read_subgraph(graph: Graph, data: bytes, whole: Field) -> None:
    """The outer names that the body of an If, Loop or Scan uses."""
    inner = Graph()
    _read_graph(inner, data, whole)
    graph.used.update(inner.used)


def _read_value(data: Buffer, whole: Field) -> Value:
    shape = next(inside(data, whole, _Value.TYPE, _Type.TENSOR, _TensorType.SHAPE), None)
    if shape is None:
        return Value()
    return Value(tuple(_read_dimension(data, part) for part in inside(data, shape, _Shape.DIMENSION)))


def _read_dimension(data: Buffer, whole: Field) -> int | str | None:
    size: int | str | None = None
    for part in fields(data, whole.start, whole.end):
        if part.number == _Dimension.SIZE:
            size = signed(part.value)
        elif part.number == _Dimension.SYMBOL:
            size = data[part.start : part.end].decode()
    return size


def inside(data: Buffer, whole: Field, number: int, *deeper: int) -> Iterator[Field]:
    """The messages at the end of a path of field numbers."""
    for part in _parts(data, whole.start, whole.end, number):
        if deeper:
            yield from inside(data, part, *deeper)
        else:
            yield part


def _parts(data: Buffer, start: int, end: int, number: int) -> Iterator[Field]:
    return (part for part in fields(data, start, end) if part.number == number and part.wire_type == BYTES)


def text_of(data: Buffer, whole: Field, number: int) -> str:
    """The text of a field, of which the last counts; empty where there is none."""
    text = b""
    for part in inside(data, whole, number):
        text = data[part.start : part.end]
    return text.decode()

"""What in an ONNX file needs more than onnxruntime and the model's own files."""

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlbuffet.hookspecs import Risk
from mlbuffet_onnx._graph import inside, text_of
from mlbuffet_onnx._protobuf import BYTES, Buffer, Field, fields

_KNOWN_DOMAINS = frozenset(
    {
        "",
        "ai.onnx",
        "ai.onnx.ml",
        "ai.onnx.preview",
        "ai.onnx.preview.training",
        "ai.onnx.training",
        "com.microsoft",
        "com.microsoft.experimental",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
    }
)
"""Of the operators that onnxruntime brings."""
_PYTHON = frozenset({"PythonOp", "PythonOpGrad"})

# the field numbers of onnx.proto

_GRAPH, _FUNCTIONS = 7, 25


class _Graph:
    NODE, INITIALIZER, SPARSE_INITIALIZER = 1, 5, 15


_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_FUNCTION_NAME, _FUNCTION_NODE, _FUNCTION_DOMAIN = 1, 7, 10
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_SPARSE_VALUES = (1, 2)
_EXTERNAL_DATA, _KEY, _VALUE = 13, 1, 2


def risks_of(file: Path, *, libraries: bool) -> list[Risk]:
    """What the model in ``file`` does besides computing; with ``libraries`` its own operators are allowed.

    ``ValueError`` where the file is no model.
    """
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        model = Field(0, BYTES, 0, 0, len(data))
        functions = list(inside(data, model, _FUNCTIONS))
        named = [(text_of(data, one, _FUNCTION_DOMAIN), text_of(data, one, _FUNCTION_NAME)) for one in functions]
        scan = _Scan(data, named)
        for graph in inside(data, model, _GRAPH):
            scan.graph(graph)
        for function in functions:
            for node in inside(data, function, _FUNCTION_NODE):
                scan.node(node)
    own = [] if libraries else sorted(scan.operators)
    return [
        *(Risk("code", f"the operator {name}, which a library of its maker brings") for name in own),
        *(Risk("files", text) for text in _outside(file.parent, scan.locations)),
    ]


class _Scan:
    """What was found in the graphs of a model."""

    def __init__(self, data: Buffer, functions: Sequence[tuple[str, str]]) -> None:
        self._data = data
        self._functions = functions
        """Those of the model itself, by domain and name."""
        self.operators: set[str] = set()
        """Those that onnxruntime does not bring."""
        self.locations: set[str] = set()
        """Of the files with weights, as the model has them."""

    def graph(self, whole: Field) -> None:
        for part in fields(self._data, whole.start, whole.end):
            match part.number:
                case _Graph.NODE:
                    self.node(part)
                case _Graph.INITIALIZER:
                    self._tensor(part)
                case _Graph.SPARSE_INITIALIZER:
                    self._sparse(part)

    def node(self, whole: Field) -> None:
        data = self._data
        domain, operator = text_of(data, whole, _NODE_DOMAIN), text_of(data, whole, _NODE_OPERATOR)
        is_known = domain in _KNOWN_DOMAINS or (domain, operator) in self._functions
        if not is_known or operator in _PYTHON:
            self.operators.add(f"{operator!r} of {domain!r}")
        for attribute in inside(data, whole, _NODE_ATTRIBUTE):
            for part in fields(data, attribute.start, attribute.end):
                if part.wire_type != BYTES:
                    continue
                if part.number in _ATTRIBUTE_GRAPHS:
                    self.graph(part)
                elif part.number in _ATTRIBUTE_TENSORS:
                    self._tensor(part)
                elif part.number in _ATTRIBUTE_SPARSE:
                    self._sparse(part)

    def _sparse(self, whole: Field) -> None:
        for number in _SPARSE_VALUES:
            for part in inside(self._data, whole, number):
                self._tensor(part)

    def _tensor(self, whole: Field) -> None:
        for entry in inside(self._data, whole, _EXTERNAL_DATA):
            if text_of(self._data, entry, _KEY) == "location":
                self.locations.add(text_of(self._data, entry, _VALUE))


def _outside(folder: Path, locations: set[str]) -> Iterator[str]:
    """The locations that lead out of the model's folder, also by links."""
    inside = folder.resolve()
    for location in sorted(locations):
        if not (folder / location).resolve().is_relative_to(inside):
            yield f"weights in the file {location!r}, which lies outside of the model's folder"

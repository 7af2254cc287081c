"""A converted graph with the names, dtypes and shapes of a signature, so that it takes the model's place."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.compose import add_prefix

from mlbuffet.converting import Source
from mlbuffet.errors import ConversionFailed
from mlbuffet.tensors import TensorSpec

_INNER = "converted/"


def fitted(model: ModelProto, source: Source) -> bytes:
    """The content of a file with ``model``, whose inputs and outputs become those of the signature."""
    model, signature = add_prefix(model, _INNER), source.signature
    graph = model.graph
    before, after = list[NodeProto](), list[NodeProto]()
    for spec, value in _pairs(signature.inputs, graph.input, "inputs"):
        before += _bridge(spec.name, value.name, spec, value, is_input=True)
    # a graph has one value of a name: an output that is called as an input gets another
    names = [f"{name}_out" if name in signature.inputs else name for name in signature.outputs]
    for name, (spec, value) in zip(names, _pairs(signature.outputs, graph.output, "outputs"), strict=True):
        after += _bridge(value.name, name, spec, value, is_input=False)
    _replace(graph.node, [*before, *graph.node, *after])
    _replace(graph.input, map(_declared, signature.inputs, signature.inputs.values()))
    _replace(graph.output, map(_declared, names, signature.outputs.values()))
    content: bytes = model.SerializeToString()
    return content


def _replace(field: Any, values: Iterable[Any]) -> None:
    values = list(values)
    del field[:]
    field.extend(values)


def _pairs(
    specs: Mapping[str, TensorSpec], values: Sequence[ValueInfoProto], what: str
) -> Iterator[tuple[TensorSpec, ValueInfoProto]]:
    """By name where ``values`` have the names of all ``specs``, else in order."""
    by_name = {value.name.removeprefix(_INNER): value for value in values}
    if by_name.keys() >= specs.keys():
        return zip(specs.values(), [by_name[name] for name in specs], strict=True)
    if len(by_name) != len(specs):
        found = ", ".join(by_name) or "none"
        raise ConversionFailed(f"its converter gives it other {what} ({found}) than it has ({', '.join(specs)})")
    return zip(specs.values(), values, strict=True)


def _bridge(
    source: str, target: str, spec: TensorSpec, value: ValueInfoProto, *, is_input: bool
) -> Iterator[NodeProto]:
    """The nodes that lead from ``source`` to ``target``, one of which is of ``spec`` and the other of ``value``."""
    inner = value.type.tensor_type
    wanted = inner.elem_type if is_input else _element(spec)
    step = f"{_INNER}{'input' if is_input else 'output'}/{spec.name}"
    if wanted != (_element(spec) if is_input else inner.elem_type):
        yield helper.make_node("Cast", [source], [f"{step}/cast"], to=wanted)
        source = f"{step}/cast"
    sizes = [size.dim_value or None for size in inner.shape.dim] if is_input else spec.sizes
    if sizes is not None and len(inner.shape.dim) != len(spec.sizes or sizes) and list(sizes).count(None) <= 1:
        shape = numpy_helper.from_array(np.array([size or -1 for size in sizes], np.int64))
        yield helper.make_node("Constant", [], [f"{step}/shape"], value=shape)
        yield helper.make_node("Reshape", [source, f"{step}/shape"], [target])
    else:
        yield helper.make_node("Identity", [source], [target])


def _declared(name: str, spec: TensorSpec) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, _element(spec), spec.shape)


def _element(spec: TensorSpec) -> Any:
    return TensorProto.STRING if spec.dtype == object else helper.np_dtype_to_tensor_dtype(spec.dtype)

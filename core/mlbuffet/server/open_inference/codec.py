"""Open Inference Protocol v2: request bytes to named arrays, named arrays to response bytes.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from mlbuffet.conversion import MAX_RANK, array_from_python
from mlbuffet.errors import InvalidInput
from mlbuffet.json_text import decode, encode_array
from mlbuffet.tensors import Tensors, TensorSpec

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BYTES": np.dtype(object),
}
DATATYPES = {dtype: datatype for datatype, dtype in DTYPES.items()}
_BINARY_ONLY = ("FP16", "BF16")  # the specification gives them no form in JSON


class RequestInput(msgspec.Struct):
    """One tensor of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] | None = None


class RequestOutput(msgspec.Struct):
    """One output asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    """The body of an inference request; ``null`` counts as absent, and members that are not known are let through."""

    inputs: list[RequestInput]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[RequestOutput] | None = None


@dataclass(frozen=True, slots=True)
class InferCall:
    """What a request asks for, in terms of `mlbuffet.Model.predict`."""

    inputs: Tensors
    signature: str | None
    outputs: list[str] | None
    id: str | None


def decode_request(body: bytes) -> InferCall:
    """The call that ``body`` describes. Raises `InvalidInput`, which names the tensor and what is wrong with it."""
    request = decode(body, InferRequest)
    inputs: dict[str, NDArray[Any]] = {}
    for tensor in request.inputs:
        if tensor.name in inputs:
            raise InvalidInput(f"input {tensor.name!r} is given twice")
        inputs[tensor.name] = _array(tensor)
    # an empty list asks for all outputs, as none does: so it is in Triton
    outputs = [output.name for output in request.outputs] if request.outputs else None
    return InferCall(inputs, _signature_name(request.parameters or {}), outputs, request.id)


def encode_response(call: InferCall, model: str, version: int, outputs: Tensors) -> bytes:
    """The body that answers ``call``. Raises `InvalidInput` for an output that cannot travel as JSON."""
    response: dict[str, Any] = {"model_name": model, "model_version": str(version)}
    if call.id is not None:
        response["id"] = call.id
    response["outputs"] = [_response_output(name, array) for name, array in outputs.items()]
    return orjson.dumps(response)


def tensor_metadata(specs: Mapping[str, TensorSpec]) -> list[dict[str, Any]]:
    """Tensors as model metadata lists them: -1 is a dimension of any size, and ``[-1]`` stands for any rank too."""
    return [
        {
            "name": spec.name,
            "datatype": DATATYPES.get(spec.dtype, spec.dtype.name.upper()),
            "shape": [-1] if spec.shape is None else [-1 if size is None else size for size in spec.shape],
        }
        for spec in specs.values()
    ]


def _signature_name(parameters: Mapping[str, Any]) -> str | None:
    name = parameters.get("signature_name")
    if name is not None and not isinstance(name, str):
        raise InvalidInput("the parameter 'signature_name' must be a string")
    return name


def _array(tensor: RequestInput) -> NDArray[Any]:
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise InvalidInput(
            f"input {tensor.name!r} has the unknown datatype {tensor.datatype!r}; there are: {', '.join(DTYPES)}"
        )
    if len(tensor.shape) > MAX_RANK:
        raise InvalidInput(f"input {tensor.name!r} has {len(tensor.shape)} dimensions; a tensor has at most {MAX_RANK}")
    if any(not 0 <= size < 2**63 for size in tensor.shape):
        raise InvalidInput(f"the shape of input {tensor.name!r} has a dimension that is negative or over 64 bits")
    if tensor.parameters and tensor.parameters.get("binary_data_size") is not None:
        raise InvalidInput(f"input {tensor.name!r} is binary; this server reads tensors as JSON 'data'")
    if tensor.datatype in _BINARY_ONLY:
        raise InvalidInput(f"input {tensor.name!r}: {tensor.datatype} cannot travel as JSON, use the binary form")
    if not isinstance(tensor.data, list):
        raise InvalidInput(f"input {tensor.name!r} has no 'data', which is a list")
    return _shaped(array_from_python(tensor.data, dtype, tensor.name), tensor)


def _shaped(array: NDArray[Any], tensor: RequestInput) -> NDArray[Any]:
    """Data may be nested or flat, in row-major order; the shape is the truth."""
    if array.size != prod(tensor.shape):  # in Python's integers, which do not overflow
        raise InvalidInput(
            f"input {tensor.name!r} has {array.size} elements; its shape {tensor.shape} holds {prod(tensor.shape)}"
        )
    try:
        return array.reshape(tensor.shape)
    except ValueError:
        raise InvalidInput(f"input {tensor.name!r} has the shape {tensor.shape}, which is too large") from None


def _response_output(name: str, array: NDArray[Any]) -> dict[str, Any]:
    datatype = DATATYPES.get(array.dtype)
    if datatype is None:
        raise InvalidInput(f"output {name!r} is of dtype {array.dtype}, for which the protocol has no datatype")
    if datatype in _BINARY_ONLY:
        raise InvalidInput(f"output {name!r}: {datatype} cannot travel as JSON, ask for the binary form")
    try:
        data = orjson.Fragment(encode_array(array.ravel()))
    except UnicodeDecodeError:
        raise InvalidInput(f"output {name!r} holds bytes that are not UTF-8: ask for the binary form") from None
    return {"name": name, "datatype": datatype, "shape": array.shape, "data": data}

"""Inference requests: bytes to named arrays."""

import re
from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from mlbuffet.conversion import check_shape
from mlbuffet.errors import InvalidInput
from mlbuffet.json_tensors.arrays import array_from_text, count_elements
from mlbuffet.json_tensors.outline import TextOf, read_outlined
from mlbuffet.json_tensors.text import decode_outline
from mlbuffet.server.http.duplicate_names import refuse_duplicate_names
from mlbuffet.server.protocols.open_inference.binary import array_from_buffer
from mlbuffet.server.protocols.open_inference.datatypes import BINARY_ONLY, DATATYPE_SCHEMA, DATATYPES, DTYPES
from mlbuffet.tensors import Signatures, Tensors, TensorSpec, only_input, shape_text

T = TypeVar("T")

HEADER_LENGTH = "Inference-Header-Content-Length"
_LENGTH = re.compile(r"[0-9]{1,18}")
_ALIGNED = 16
_NO_BUFFERS = memoryview(b"")

_CHECKED = (b"BYTES", b"BOOL", b"INT2", b"INT4", b"FLOAT4", b"FLOAT6", b"\\")  # or a datatype written with escapes
Parameters = dict[str, Any] | None
_ABSENT = (b"", b"null")
Size = Annotated[int, Meta(extra_json_schema={"minimum": 0})]


class RequestInput(msgspec.Struct):
    """One tensor of a request."""

    name: str
    shape: list[Size]
    datatype: Annotated[str, DATATYPE_SCHEMA]
    data: Annotated[msgspec.Raw, Meta(description="Nested or flat, in row-major order; without it, a raw buffer.")] = (
        msgspec.field(default_factory=msgspec.Raw)
    )
    parameters: Annotated[Parameters, Meta(description="`binary_data_size`: the bytes of its raw buffer.")] = None


class RequestOutput(msgspec.Struct):
    """One output asked for."""

    name: str
    parameters: Annotated[
        Parameters, Meta(description="`binary_data`: as a raw buffer. `classification`: its best so many classes.")
    ] = None


class InferRequest(msgspec.Struct):
    """The JSON of a request; ``null`` counts as absent, and members that are not known are let through."""

    inputs: list[RequestInput]
    id: str | None = None
    parameters: Annotated[
        Parameters,
        Meta(
            description="`signature_name`: which signature. `binary_data_output`: all as raw buffers. "
            "Others: those that the signature declares."
        ),
    ] = None
    outputs: list[RequestOutput] | None = None


class OutputForm(NamedTuple):
    """How to send an output: as a raw buffer or as JSON; where ``classes`` is not 0, only that many best classes."""

    binary: bool = False
    classes: int = 0


class InferCall(msgspec.Struct, frozen=True, gc=False):
    """A decoded request. ``outputs`` are the wanted ones in order, or ``None`` for all of them in ``default_form``."""

    inputs: Tensors
    signature: str | None = None
    outputs: dict[str, OutputForm] | None = None
    default_form: OutputForm = OutputForm()
    id: str | None = None
    parameters: Mapping[str, Any] = {}


class Parts(NamedTuple):
    """The body of a request, split into JSON and raw buffers."""

    json: bytes
    buffers: memoryview = _NO_BUFFERS
    is_raw: bool = False
    """Whether the body is the raw buffer of the only input of the default signature."""

    @property
    def size_to_decode(self) -> int:
        """How many bytes are read one by one: the JSON, and raw buffers whose elements are checked."""
        size, buffers = len(self.json), len(self.buffers)
        if buffers and (self.is_raw or any(datatype in self.json for datatype in _CHECKED)):
            size += buffers
        return size


def padding_for(header_length: str) -> int:
    """How many bytes to put before a body, so that its raw buffers are aligned in memory.

    Runtimes copy an array that is not aligned; the memory of ``bytes`` begins at a multiple of 16.
    """
    return 0 if _LENGTH.fullmatch(header_length) is None else -int(header_length) % _ALIGNED


def take_apart(body: bytes, header_length: str | None = None, padding: int = 0) -> Parts:
    """The JSON and the raw buffers behind the first ``padding`` bytes of ``body``. Raises `InvalidInput`.

    ``header_length`` is the header ``Inference-Header-Content-Length``: how many bytes are JSON; without it all are.
    """
    if header_length is None:
        return Parts(body)
    size = len(body) - padding
    if _LENGTH.fullmatch(header_length) is None or int(header_length) > size:
        raise InvalidInput(
            f"{HEADER_LENGTH} is {header_length!r}; it is the number of bytes of JSON, of {size} at most"
        )
    end = padding + int(header_length)
    return Parts(body[padding:end], memoryview(body)[end:], is_raw=end == padding)


def decode_request(parts: Parts, signatures: Signatures) -> InferCall:
    """The call of a body. Raises `InvalidInput`, which names the tensor and what is wrong with it."""
    if parts.is_raw:
        return _raw_call(parts.buffers, signatures)
    return read_outlined(parts.json, lambda header, text_of: _call(header, text_of, parts.buffers))


def _call(header: bytes, text_of: TextOf, buffers: memoryview) -> InferCall:
    request = decode_outline(header, InferRequest)
    refuse_duplicate_names(header, _count_names(request), [bytes(tensor.data) for tensor in request.inputs])
    return call_of(request, _inputs(request.inputs, text_of, buffers))


def call_of(request: InferRequest, inputs: Tensors) -> InferCall:
    """The call of ``request`` with ``inputs``. Raises `InvalidInput`."""
    parameters = request.parameters or {}
    default = OutputForm(binary=_parameter(parameters, "binary_data_output", bool, "true or false") or False)
    return InferCall(
        inputs=inputs,
        signature=_parameter(parameters, "signature_name", str, "a string"),
        outputs=_outputs(request.outputs, default),
        default_form=default,
        id=request.id,
        parameters=parameters,
    )


def _count_names(request: InferRequest) -> int:
    """How many names with a colon behind them a request has, plus the colons in the names of its tensors."""
    count = 1
    for optional in (request.id, request.parameters, request.outputs):
        count += optional is not None
    for tensor in request.inputs:
        count += 3 + (len(bytes(tensor.data)) > 0)
    tensors: list[RequestInput | RequestOutput] = [*request.inputs, *(request.outputs or ())]
    for named in tensors:
        count += named.name.count(":")
        if named.parameters is not None:
            count += 1 + len(named.parameters)
    return count + len(request.outputs or ()) + len(request.parameters or ())


def _raw_call(buffer: memoryview, signatures: Signatures) -> InferCall:
    inputs = signatures[signatures.resolve(None)].inputs
    spec = only_input(inputs)
    if spec is None:
        names = ", ".join(map(repr, inputs)) or "none"
        raise InvalidInput(f"a raw request is for models with one input; this one has {len(inputs)}: {names}")
    return InferCall({spec.name: _raw_array(buffer, spec)}, default_form=OutputForm(binary=True))


def _raw_array(buffer: memoryview, spec: TensorSpec) -> NDArray[Any]:
    """The array in ``buffer``, in the shape that follows from its length, by Triton's rules."""
    if spec.dtype not in DATATYPES:
        raise InvalidInput(f"input {spec.name!r} is {spec.dtype}, for which the protocol has no datatype")
    if spec.sizes is None or spec.sizes.count(None) > 1:
        raise _not_raw(spec, "the shape follows from the length of the body if there is one free dimension at most")
    if spec.dtype.kind == "O":  # the body is one element, without its length
        if any(size != 1 for size in spec.sizes):
            raise _not_raw(spec, "the body is one element of BYTES, so that the declared shape must be [1]")
        element = np.empty(1, object)
        element[0] = bytes(buffer)
        return element.reshape([1] * len(spec.sizes))
    row = prod(size for size in spec.sizes if size is not None) * spec.dtype.itemsize
    if row and None in spec.sizes and len(buffer) % row:
        raise _not_raw(spec, f"the body has {len(buffer)} bytes, which is no multiple of {row}")
    shape = [size if size is not None else len(buffer) // row if row else 0 for size in spec.sizes]
    return array_from_buffer(buffer, spec.dtype, shape, spec.name)


def _not_raw(spec: TensorSpec, rule: str) -> InvalidInput:
    return InvalidInput(
        f"a raw request does not fit input {spec.name!r} of shape {shape_text(spec.shape)}: {rule}; "
        "send its shape as JSON before the buffer"
    )


def _inputs(tensors: list[RequestInput], text_of: TextOf, buffers: memoryview) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    position = 0
    for tensor in tensors:
        if tensor.name in arrays:
            raise InvalidInput(f"input {tensor.name!r} is given twice")
        dtype = checked_dtype(tensor)
        size = binary_size(tensor)
        if size is None:
            arrays[tensor.name] = _array_from_json(tensor, dtype, text_of)
            continue
        if size > len(buffers) - position:
            raise InvalidInput(f"input {tensor.name!r} has {size} bytes; the body has {len(buffers) - position} left")
        buffer = buffers[position : position + size]
        arrays[tensor.name] = array_from_buffer(buffer, dtype, tensor.shape, tensor.name)
        position += size
    if position != len(buffers):
        raise InvalidInput(f"the body has {len(buffers) - position} bytes after the buffers of its inputs")
    return arrays


def checked_dtype(tensor: RequestInput) -> np.dtype[Any]:
    """The dtype of ``tensor``. Raises `InvalidInput` where its datatype or shape cannot be that of an array."""
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        known = ", ".join(DTYPES)
        raise InvalidInput(f"input {tensor.name!r} has the unknown datatype {tensor.datatype!r}; there are: {known}")
    check_shape(tensor.name, tensor.shape, dtype.itemsize)
    return dtype


def binary_size(tensor: RequestInput) -> int | None:
    """The size in bytes of a tensor's raw buffer; ``None`` for a tensor in JSON. Raises `InvalidInput`."""
    parameters = tensor.parameters or {}
    refuse_shared_memory(tensor.name, parameters)
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise InvalidInput(f"the binary_data_size of input {tensor.name!r} is {size!r}; it is a number of bytes")
    if bytes(tensor.data) not in _ABSENT:
        raise InvalidInput(f"input {tensor.name!r} has both 'data' and 'binary_data_size'; send one of them")
    return size


def refuse_shared_memory(name: str, parameters: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` where the parameters of the input ``name`` say that it is in shared memory."""
    if parameters.get("shared_memory_region") is not None:
        raise InvalidInput(f"input {name!r} is in shared memory, which this server does not read")


def _array_from_json(tensor: RequestInput, dtype: np.dtype[Any], text_of: TextOf) -> NDArray[Any]:
    """The array of data that may be nested or flat, in row-major order; the shape is that of ``tensor``."""
    if tensor.datatype in BINARY_ONLY:
        raise InvalidInput(f"input {tensor.name!r}: {tensor.datatype} cannot travel as JSON, use the binary form")
    text = text_of(tensor.data)
    if not text.startswith(b"["):
        raise InvalidInput(f"input {tensor.name!r} has neither 'data', a list, nor the parameter 'binary_data_size'")
    most = prod(size or 1 for size in tensor.shape)  # lists without elements are counted too
    if (count := count_elements(text)) <= most:  # else it might not fit into memory
        array = array_from_text(text, dtype, tensor.name)
        if (count := array.size) == prod(tensor.shape):
            return array.reshape(tensor.shape)
    raise InvalidInput(
        f"input {tensor.name!r} has {count} elements; its shape {tensor.shape} holds {prod(tensor.shape)}"
    )


def _outputs(wanted: list[RequestOutput] | None, default: OutputForm) -> dict[str, OutputForm] | None:
    if not wanted:  # an empty list means all outputs, as in Triton
        return None
    forms: dict[str, OutputForm] = {}
    for output in wanted:
        if output.name in forms:
            raise InvalidInput(f"output {output.name!r} is requested twice")
        parameters = output.parameters or {}
        if parameters.get("shared_memory_region") is not None:
            raise InvalidInput(f"output {output.name!r} is wanted in shared memory, which this server does not write")
        binary = _parameter(parameters, "binary_data", bool, "true or false")
        count = parameters.get("classification")
        if count is not None and (type(count) is not int or count < 1):
            name = f"'classification' of output {output.name!r}"
            raise InvalidInput(f"the parameter {name} is {count!r}; it is a number from 1")
        forms[output.name] = OutputForm(default.binary if binary is None else binary, count or 0)
    return forms


def _parameter(parameters: dict[str, Any], name: str, kind: type[T], rule: str) -> T | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, kind):
        raise InvalidInput(f"the parameter {name!r} is {value!r}; it is {rule}")
    return value

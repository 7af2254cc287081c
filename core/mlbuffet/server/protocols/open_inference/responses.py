"""Inference responses: named arrays to bytes."""

from functools import lru_cache
from typing import Any

import orjson
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.json_tensors.text import encode_array
from mlbuffet.server.http.prediction import Answer
from mlbuffet.server.protocols.open_inference.binary import buffer_from_array
from mlbuffet.server.protocols.open_inference.datatypes import BINARY_ONLY, DATATYPES
from mlbuffet.server.protocols.open_inference.outputs import NO_LABELS, Labels, best_classes, no_datatype, omitted
from mlbuffet.server.protocols.open_inference.requests import HEADER_LENGTH, InferCall
from mlbuffet.tensors import Tensors

_OCTETS = b"content-type", b"application/octet-stream"
_HEADER_LENGTH = HEADER_LENGTH.lower().encode()


def encode_response(call: InferCall, model: str, version: int, outputs: Tensors, labels: Labels = NO_LABELS) -> Answer:
    """The response to ``call`` (`InferAnswer`). Raises `InvalidInput` for an output that cannot be sent as asked.

    ``labels`` are those of the outputs of which the call wants classes.
    The JSON is joined from pieces, most of which are cached, in half the time that a serializer takes.
    """
    buffers: list[bytes | memoryview] = []
    pieces = [_output(call, name, array, buffers, labels) for name, array in outputs.items()]
    members = b"" if call.id is None else b'"id":%b,' % orjson.dumps(call.id)
    if b"" in pieces:
        members += b'"parameters":%b,' % orjson.dumps({"omitted": omitted(outputs)})
        pieces = [piece for piece in pieces if piece]
    header = b'{%b%b"outputs":[%b]}' % (_beginning(model, version), members, b",".join(pieces))
    if not buffers:
        return Answer(header)
    return Answer(b"".join([header, *buffers]), (_OCTETS, (_HEADER_LENGTH, b"%d" % len(header))))


@lru_cache(maxsize=1024)
def _beginning(model: str, version: int) -> bytes:
    return b'"model_name":%b,"model_version":"%d",' % (orjson.dumps(model), version)


@lru_cache(maxsize=1024)
def _described(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    return b'{"name":%b,"datatype":"%b","shape":%b,' % (orjson.dumps(name), datatype.encode(), orjson.dumps(shape))


def _output(
    call: InferCall, name: str, array: NDArray[Any], buffers: list[bytes | memoryview], labels: Labels
) -> bytes:
    """The JSON of an output; empty for one that cannot be sent, where the call did not ask for it by its name."""
    form = call.default_form if call.outputs is None else call.outputs[name]
    if form.classes:
        array = best_classes(array, form.classes, name, labels.get(name, ()))
    datatype = DATATYPES.get(array.dtype)
    if datatype is None:
        if call.outputs is None:
            return b""
        raise InvalidInput(no_datatype(name, array))
    described = _described(name, datatype, array.shape)
    if form.binary:
        buffers.append(buffer_from_array(array))
        return b'%b"parameters":{"binary_data_size":%d}}' % (described, len(buffers[-1]))
    if datatype in BINARY_ONLY and call.outputs is not None:
        raise InvalidInput(f"output {name!r}: {datatype} cannot travel as JSON, ask for the binary form")
    try:
        return b'%b"data":%b}' % (described, encode_array(array.ravel()))
    except UnicodeDecodeError:
        raise InvalidInput(f"output {name!r} holds bytes that are not UTF-8: ask for the binary form") from None

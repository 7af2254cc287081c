"""Inference responses: named arrays to bytes."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mlbuffet.conversion import is_small
from mlbuffet.errors import InvalidInput
from mlbuffet.json_tensors.text import encode_array
from mlbuffet.server.http.prediction import Answer
from mlbuffet.server.protocols.open_inference.binary import buffer_from_array
from mlbuffet.server.protocols.open_inference.datatypes import BINARY_ONLY, DATATYPES
from mlbuffet.server.protocols.open_inference.requests import HEADER_LENGTH, InferCall
from mlbuffet.tensors import Signatures, Tensors

Labels = Mapping[str, Sequence[str]]
"""The names of classes by output."""
NO_LABELS: Labels = {}

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
        members += b'"parameters":%b,' % _omitted(outputs)
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


def _omitted(outputs: Tensors) -> bytes:
    """The parameters of a response without the outputs that cannot be sent. Raises `InvalidInput` where none can."""
    problems = {name: _no_datatype(name, array) for name, array in outputs.items() if array.dtype not in DATATYPES}
    text = "; ".join(problems.values())
    if len(problems) == len(outputs):
        raise InvalidInput(text)
    return orjson.dumps({"omitted": text})


def _no_datatype(name: str, array: NDArray[Any]) -> str:
    return f"output {name!r} is of dtype {array.dtype}, for which the protocol has no datatype"


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
        raise InvalidInput(_no_datatype(name, array))
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


def labels_of_classes(call: InferCall, signatures: Signatures) -> Labels:
    """The labels of those outputs of which ``call`` wants classes."""
    wanted = [name for name, form in (call.outputs or {}).items() if form.classes]
    if not wanted:
        return NO_LABELS
    specs = signatures[signatures.resolve(call.signature)].outputs
    return {name: specs[name].labels for name in wanted if name in specs}


def best_classes(array: NDArray[Any], count: int, name: str, labels: Sequence[str] = ()) -> NDArray[Any]:
    """The ``count`` largest values as text ``value:index``, the largest first; floats have six decimals.

    Where ``labels`` has a name for the class, it follows: ``value:index:label``.
    Their shape is [count], or [batch, count] where ``array`` has a rank of 2 or more. This is the extension
    "classification" of Triton's protocol.
    """
    if array.dtype.kind in "Oc" or array.ndim == 0:
        raise InvalidInput(f"output {name!r} is {array.dtype} of shape {array.shape}, which is no scores of classes")
    scores = array.reshape(len(array), -1) if array.ndim > 1 and array.size else np.atleast_2d(array)
    if is_small(scores.dtype):
        scores = scores.astype(np.float32)
    best = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :count]
    pattern = "{:.6f}:{}" if scores.dtype.kind == "f" else "{:d}:{}"
    texts = np.empty(best.shape, object)
    for row, index in np.ndindex(best.shape):
        position = int(best[row, index])
        label = f":{labels[position]}" if position < len(labels) else ""
        texts[row, index] = (pattern.format(scores[row, position], position) + label).encode()
    return texts if array.ndim > 1 else texts[0]

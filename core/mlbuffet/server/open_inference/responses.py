"""Inference responses: named arrays to bytes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.json_text import encode_array
from mlbuffet.server.open_inference.answers import InferAnswer, ResponseOutput
from mlbuffet.server.open_inference.binary import buffer_from_array
from mlbuffet.server.open_inference.datatypes import BINARY_ONLY, DATATYPES
from mlbuffet.server.open_inference.requests import InferCall
from mlbuffet.tensors import Tensors


@dataclass(frozen=True, slots=True)
class InferResponse:
    """A body, and how many of its bytes are JSON where raw buffers follow."""

    body: bytes
    header_length: int | None


def encode_response(call: InferCall, model: str, version: int, outputs: Tensors) -> InferResponse:
    """The answer to ``call``. Raises `InvalidInput` for an output that cannot travel in the form asked for."""
    response: InferAnswer = {"model_name": model, "model_version": str(version), "outputs": []}
    if call.id is not None:
        response["id"] = call.id
    buffers: list[bytes | memoryview] = []
    response["outputs"] = [_output(call, name, array, buffers) for name, array in outputs.items()]
    header = orjson.dumps(response)
    if not any(call.form(name).binary for name in outputs):
        return InferResponse(header, None)
    return InferResponse(b"".join([header, *buffers]), len(header))


def _output(call: InferCall, name: str, array: NDArray[Any], buffers: list[bytes | memoryview]) -> ResponseOutput:
    form = call.form(name)
    if form.classes:
        array = best_classes(array, form.classes, name)
    datatype = DATATYPES.get(array.dtype)
    if datatype is None:
        raise InvalidInput(f"output {name!r} is of dtype {array.dtype}, for which the protocol has no datatype")
    output: ResponseOutput = {"name": name, "datatype": datatype, "shape": array.shape}
    if form.binary:
        buffers.append(buffer_from_array(array))
        output["parameters"] = {"binary_data_size": len(buffers[-1])}
    else:
        output["data"] = _json_data(array, datatype, name)
    return output


def _json_data(array: NDArray[Any], datatype: str, name: str) -> orjson.Fragment:
    if datatype in BINARY_ONLY:
        raise InvalidInput(f"output {name!r}: {datatype} cannot travel as JSON, ask for the binary form")
    try:
        return orjson.Fragment(encode_array(array.ravel()))
    except UnicodeDecodeError:
        raise InvalidInput(f"output {name!r} holds bytes that are not UTF-8: ask for the binary form") from None


def best_classes(array: NDArray[Any], count: int, name: str) -> NDArray[Any]:
    """The ``count`` largest values as text ``value:index``, the largest first; floats have six decimals.

    Their shape is [count], or [batch, count] where ``array`` has a rank of 2 or more. This is the extension
    "classification" of Triton's protocol.
    """
    if array.dtype.kind in "Oc" or array.ndim == 0:
        raise InvalidInput(f"output {name!r} is {array.dtype} of shape {array.shape}, which is no scores of classes")
    scores = array.reshape(len(array), -1) if array.ndim > 1 and array.size else np.atleast_2d(array)
    if scores.dtype.kind not in "biuf":
        scores = scores.astype(np.float32)
    best = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :count]
    pattern = "{:.6f}:{}" if scores.dtype.kind == "f" else "{:d}:{}"
    texts = np.empty(best.shape, object)
    for row, index in np.ndindex(best.shape):
        texts[row, index] = pattern.format(scores[row, best[row, index]], best[row, index]).encode()
    return texts if array.ndim > 1 else texts[0]

"""Whatever bytes a decoder is given end in a result or in `InvalidInput`: `make fuzz` tries 40 000 of each kind."""

import json
import os
import pickle
import zlib
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from starlette.exceptions import HTTPException

from mlbuffet import InvalidInput, Signature, Signatures, TensorSpec
from mlbuffet.json_tensors import arrays as json_arrays
from mlbuffet.json_tensors import outline as json_outline
from mlbuffet.server.http.compression import decompressed
from mlbuffet.server.protocols.open_inference.datatypes import DTYPES
from mlbuffet.server.protocols.open_inference.request_templates import RequestDecoder
from mlbuffet.server.protocols.open_inference.requests import InferCall, decode_request, take_apart
from mlbuffet.server.protocols.tensorflow_serving.examples import decode_examples
from mlbuffet.server.protocols.tensorflow_serving.requests import decode_predict

EXAMPLES = int(os.environ.get("MLBUFFET_FUZZ", "100"))
SPECS = [TensorSpec("x", np.float32, (None, 2)), TensorSpec("t", object, (None,)), TensorSpec("i", np.int8, None)]
SIGNATURES = Signatures({"serving_default": Signature(SPECS[:1], SPECS[:1]), "s": Signature(SPECS, SPECS)})

NAMES = st.sampled_from(["x", "t", "i", "b64", "serving_default", "s", "inputs", "binary_data_size", ""])
NUMBERS = st.sampled_from([0, 1, -1, 2, 300, 2**31, 2**62, 2**64, 10**400, 1e40, 0.5, float("nan"), float("-inf")])
LEAVES = st.none() | st.booleans() | NUMBERS | NAMES | st.integers() | st.floats() | st.text(max_size=4)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(usual, usual, usual, ANYTHING)


def members(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    every = {name: mostly(value) for name, value in optional.items()}
    return st.fixed_dictionaries({name: mostly(value) for name, value in required.items()}, optional=every)


SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, -1, 2**62]), max_size=3)
SIZES = st.sampled_from([0, 1, 4, 8, 12, 16, -1, 2**40])
PARAMETERS = st.dictionaries(
    st.sampled_from(
        [
            "binary_data_size",
            "binary_data",
            "binary_data_output",
            "classification",
            "signature_name",
            "shared_memory_region",
        ]
    ),
    SIZES | NAMES | st.booleans() | ANYTHING,
    max_size=2,
)
TENSORS = members(
    {"name": NAMES, "shape": SHAPES, "datatype": st.sampled_from([*DTYPES, "fp32"])},
    {"data": st.lists(NUMBERS | LEAVES, max_size=4), "parameters": PARAMETERS},
)
OUTPUTS = st.lists(members({"name": NAMES}, {"parameters": PARAMETERS}), max_size=2)
ROWS = st.lists(LEAVES | st.dictionaries(NAMES, ANYTHING, max_size=3), max_size=3)
FEATURES = st.dictionaries(NAMES, LEAVES | st.lists(LEAVES, max_size=3), max_size=3)
V2 = members({"inputs": st.lists(TENSORS, max_size=3)}, {"id": NAMES, "parameters": PARAMETERS, "outputs": OUTPUTS})
PREDICT = members({}, {"signature_name": NAMES, "instances": ROWS, "inputs": ROWS | ANYTHING})
CLASSIFY = members({"examples": st.lists(FEATURES, max_size=3)}, {"signature_name": NAMES, "context": FEATURES})


PIECES = st.binary(max_size=3) | st.sampled_from([b"[" * 2000, b"NaN", b'":"', b"\\ud800", b"1e999", b"{}"])


@pytest.fixture(autouse=True, scope="module", params=["whole", "in pieces"])
def _length_of_pieces(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "in pieces":
            patched.setattr(json_arrays, "LONG", 0)
            patched.setattr(json_arrays, "MANAGEABLE", 0)
            patched.setattr(json_arrays, "PIECE", 2)
            patched.setattr(json_outline, "LONG", 8)
        yield


def damage(draw: st.DrawFn, whole: bytes) -> bytes:
    """``whole``, at times with bytes of it changed, dropped or put in."""
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        position = draw(st.integers(0, len(whole)))
        whole = whole[:position] + draw(PIECES) + whole[position + draw(st.integers(0, 3)) :]
    return whole


@st.composite
def damaged(draw: st.DrawFn, requests: st.SearchStrategy[Any]) -> bytes:
    """The text of a request, at times damaged."""
    text = json.dumps(draw(requests), ensure_ascii=draw(st.booleans()))
    return damage(draw, text.encode(errors="surrogatepass"))


@st.composite
def right(draw: st.DrawFn) -> bytes:
    """The text of a request with nothing but numbers."""
    tensors = []
    for name in draw(st.lists(st.sampled_from(["x", "y", "data"]), min_size=1, max_size=2, unique=True)):
        shape = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
        datatype = draw(st.sampled_from(["FP32", "FP64", "INT8", "UINT64"]))
        data = np.array(draw(st.lists(st.integers(0, 9), min_size=prod(shape), max_size=prod(shape)))).reshape(shape)
        whole = data.ravel() if draw(st.booleans()) else data
        tensors.append({"name": name, "shape": shape, "datatype": datatype, "data": whole.tolist()})
    separators = draw(st.sampled_from([(", ", ": "), (",", ":")]))
    return json.dumps(
        {**draw(st.just({}) | V2.filter(lambda one: isinstance(one, dict))), "inputs": tensors}, separators=separators
    ).encode("utf-8", "replace")


@st.composite
def twins(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> tuple[bytes, bytes]:
    """A text, and another that is much like it."""
    text = draw(texts)
    return text, damage(draw, text)


@st.composite
def compressed(draw: st.DrawFn) -> bytes:
    """A body in one of zlib's formats, at times damaged."""
    packer = zlib.compressobj(wbits=draw(st.sampled_from([15, 31, -15, 9])))
    whole = packer.compress(draw(st.binary(max_size=40)) * draw(st.sampled_from([0, 1, 100]))) + packer.flush()
    return damage(draw, whole)


def fuzzed(test: Callable[..., None]) -> Callable[..., None]:
    return settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)(test)


def is_call_or_invalid_input(decode: Callable[[], Any]) -> None:
    try:
        assert decode() is not None
    except InvalidInput as error:
        assert str(error)


def outcome(body: bytes, decode: Callable[..., InferCall], length: str | None) -> Any:
    """All that a call holds, to the last bit, or why there is none."""
    try:
        call = decode(take_apart(body, length), SIGNATURES)
    except InvalidInput as error:
        return str(error)
    arrays = {name: (array.dtype, array.shape, pickle.dumps(array)) for name, array in call.inputs.items()}
    return arrays, replace(call, inputs={})


@fuzzed
@given(damaged(V2), st.binary(max_size=24), st.sampled_from([None, 0, 0, 1, -1]) | st.text(max_size=3))
def test_requests_with_buffers(text: bytes, buffers: bytes, length: Any) -> None:
    claimed = str(len(text) + length) if isinstance(length, int) else length
    is_call_or_invalid_input(lambda: decode_request(take_apart(text + buffers, claimed), SIGNATURES))


@fuzzed
@given(twins(damaged(V2) | right()), st.binary(max_size=24) | st.just(b""))
def test_requests_that_come_again(texts: tuple[bytes, bytes], buffers: bytes) -> None:
    text, twin = texts
    decoder, length = RequestDecoder(), str(len(text)) if buffers else None
    for body in (text + buffers, text + buffers, twin + buffers):
        assert outcome(body, decoder.decode, length) == outcome(body, decode_request, length)


@fuzzed
@given(damaged(PREDICT))
def test_rows_and_columns(text: bytes) -> None:
    is_call_or_invalid_input(lambda: decode_predict(text, SIGNATURES))


@fuzzed
@given(damaged(CLASSIFY))
def test_examples(text: bytes) -> None:
    is_call_or_invalid_input(lambda: decode_examples(text, SIGNATURES))


@pytest.mark.parametrize(
    "decode", [decode_predict, decode_examples, lambda text, known: decode_request(take_apart(text, "0"), known)]
)
@fuzzed
@given(text=st.binary())
def test_any_bytes(decode: Callable[[bytes, Signatures], Any], text: bytes) -> None:
    is_call_or_invalid_input(lambda: decode(text, SIGNATURES))


@fuzzed
@given(compressed(), st.sampled_from(["gzip", "deflate", "br"]))
def test_compressed_bodies(body: bytes, encoding: str) -> None:
    try:
        assert len(decompressed(body, encoding, limit=1000)) <= 1000
    except HTTPException as error:
        assert error.status_code in (400, 413, 415)

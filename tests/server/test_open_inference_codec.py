"""Open Inference Protocol v2: bytes to arrays and back, without a server."""

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlbuffet import InvalidInput, TensorSpec
from mlbuffet.server.open_inference_codec import (
    DATATYPES,
    DTYPES,
    InferCall,
    decode_request,
    encode_response,
    tensor_metadata,
)

JSON_DATATYPES = [datatype for datatype in DTYPES if datatype not in ("FP16", "BF16")]
ANSWER = InferCall({}, None, None, None)


def request(**tensor: Any) -> bytes:
    whole = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1], **tensor}
    return json.dumps({"inputs": [whole]}).encode()


def test_a_request_becomes_named_arrays_and_what_is_asked_of_them() -> None:
    call = decode_request(
        b'{"id": "7", "parameters": {"signature_name": "embed", "other": 1}, "model_name": "let through",'
        b' "inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2.5, NaN, -Infinity]},'
        b' {"name": "t", "shape": [1], "datatype": "BYTES", "data": ["\\u00e9"]}],'
        b' "outputs": [{"name": "b"}, {"name": "a", "parameters": {}}]}'
    )
    np.testing.assert_array_equal(call.inputs["x"], np.array([[1, 2.5], [np.nan, -np.inf]], np.float32), strict=True)
    assert call.inputs["t"].tolist() == ["é".encode()]
    assert (call.signature, call.outputs, call.id) == ("embed", ["b", "a"], "7")


def test_null_is_absent() -> None:
    (tensor,) = json.loads(request(parameters=None))["inputs"]
    call = decode_request(json.dumps({"id": None, "parameters": None, "outputs": None, "inputs": [tensor]}).encode())
    assert (call.id, call.signature, call.outputs) == (None, None, None)


def test_an_empty_list_of_outputs_asks_for_all() -> None:
    assert decode_request(b'{"inputs": [], "outputs": []}').outputs is None


@pytest.mark.parametrize(
    ("shape", "data"),
    [([2, 2], [[1, 2], [3, 4]]), ([2, 2], [1, 2, 3, 4]), ([4], [[1, 2], [3, 4]]), ([4, 1], [[1, 2], [3, 4]])],
)
def test_data_is_nested_or_flat_and_the_shape_is_the_truth(shape: list[int], data: list[Any]) -> None:
    array = decode_request(request(shape=shape, data=data)).inputs["x"]
    assert array.shape == tuple(shape)
    assert array.ravel().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("shape", "data"), [([], [5]), ([0], []), ([0, 3], []), ([2, 0], [[], []])])
def test_scalars_and_empty_tensors_travel(shape: list[int], data: list[Any]) -> None:
    assert decode_request(request(shape=shape, data=data)).inputs["x"].shape == tuple(shape)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ({"datatype": "FP31"}, "input 'x' has the unknown datatype 'FP31'; there are: BOOL, UINT8"),
        ({"datatype": "fp32"}, "unknown datatype 'fp32'"),
        ({"shape": [2, -1], "data": [1, 2]}, "a dimension that is negative or over 64 bits"),
        ({"shape": [2**63]}, "a dimension that is negative or over 64 bits"),
        ({"shape": [1.0]}, r"Expected `int`, got `float` - at `\$.inputs\[0\].shape\[0\]`"),
        ({"shape": ["1"]}, "Expected `int`, got `str`"),
        ({"shape": [True]}, "Expected `int`, got `bool`"),
        ({"shape": None}, "Expected `array`, got `null`"),
        ({"shape": [1] * 65}, "has 65 dimensions; a tensor has at most 64"),
        ({"shape": [16, 2**60 + 2]}, "has 1 elements; its shape .* holds 18446744073709551648"),
        ({"shape": [2**32, 2**32], "data": []}, "has 0 elements; its shape"),
        ({"shape": [0, 2**62], "data": []}, "which is too large"),
        ({"shape": [3]}, r"input 'x' has 1 elements; its shape \[3\] holds 3"),
        ({"data": [1, 2]}, r"input 'x' has 2 elements; its shape \[1\] holds 1"),
        ({"shape": [3], "data": [[1, 2], [3]]}, "ragged"),
        ({"data": ["1.5"]}, r"holds '1.5' at \[0\]; float32 takes numbers"),
        ({"data": [None]}, "holds None"),
        ({"data": [True]}, "holds True"),
        ({"data": [{}]}, "holds {}"),
        ({"data": [1e40]}, "out of the range of float32"),
        ({"data": [1.5], "datatype": "INT64"}, "int64 takes whole numbers"),
        ({"data": [300], "datatype": "INT8"}, "out of the range of int8"),
        ({"data": [-1], "datatype": "UINT8"}, "out of the range of uint8"),
        ({"data": [2], "datatype": "BOOL"}, "bool takes true or false"),
        ({"data": [2], "datatype": "BYTES"}, "bytes takes text"),
        ({"data": None}, "input 'x' has no 'data', which is a list"),
        ({"data": 1}, "input 'x' has no 'data', which is a list"),
        ({"datatype": "FP16"}, "FP16 cannot travel as JSON, use the binary form"),
        ({"datatype": "BF16"}, "BF16 cannot travel as JSON, use the binary form"),
        ({"parameters": {"binary_data_size": 4}}, "input 'x' is binary"),
        ({"name": 1}, "Expected `str`, got `int`"),
    ],
)
def test_a_tensor_that_is_wrong_is_refused_with_its_fault(tensor: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        decode_request(request(**tensor))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs": null}', "Expected `array`, got `null`"),
        (b'{"inputs": [1]}', "Expected `object`, got `int`"),
        (b'{"inputs": [], "parameters": {"signature_name": 1}}', "'signature_name' must be a string"),
        (b'{"inputs": [], "id": 1}', "Expected `str | null`, got `int`"),
        (request()[:-2] + b"," + request()[12:], "input 'x' is given twice"),
    ],
)
def test_a_request_of_the_wrong_form_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message.replace("|", r"\|")):
        decode_request(body)


def test_a_response_leaves_out_what_is_absent() -> None:
    body = encode_response(ANSWER, "half", 1, {"y": np.array([[2.5, np.nan]], np.float32)})
    assert body == (
        b'{"model_name":"half","model_version":"1",'
        b'"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[2.5,NaN]}]}'
    )


def test_a_response_echoes_the_id() -> None:
    assert json.loads(encode_response(InferCall({}, None, None, ""), "m", 1, {}))["id"] == ""


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(1, np.float16), "output 'y': FP16 cannot travel as JSON, ask for the binary form"),
        (np.zeros(1, ml_dtypes.bfloat16), "output 'y': BF16 cannot travel as JSON"),
        (np.zeros(1, np.complex64), "output 'y' is of dtype complex64, for which the protocol has no datatype"),
        (np.array([b"\xff"], object), "output 'y' holds bytes that are not UTF-8"),
    ],
)
def test_an_output_that_json_cannot_hold_is_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        encode_response(ANSWER, "m", 1, {"y": array})


def arrays_of(datatype: str) -> st.SearchStrategy[Any]:
    shapes = hnp.array_shapes(min_dims=0, min_side=0, max_side=3)
    if datatype == "BYTES":
        return hnp.arrays(object, shapes, elements=st.text().map(str.encode), fill=st.nothing())
    return hnp.arrays(DTYPES[datatype], shapes)


@given(st.sampled_from(JSON_DATATYPES).flatmap(arrays_of))
def test_every_array_comes_back_from_a_response_sent_as_a_request(array: np.ndarray) -> None:
    response = encode_response(ANSWER, "m", 1, {"x": array}).replace(b'"outputs"', b'"inputs"', 1)
    back = decode_request(response).inputs["x"]
    np.testing.assert_array_equal(back, array, strict=True)


NESTED = st.recursive(st.none() | st.integers() | st.text(), st.lists)


@given(st.binary() | st.builds(lambda shape, data: request(shape=shape, data=data), NESTED, NESTED))
def test_any_bytes_are_a_call_or_invalid_input(body: bytes) -> None:
    try:
        assert decode_request(body).inputs is not None
    except InvalidInput as error:
        assert str(error)


def test_metadata_shows_free_dimensions_as_minus_one() -> None:
    specs = [TensorSpec("a", np.float32, (None, 4)), TensorSpec("b", object, ()), TensorSpec("c", np.complex64, None)]
    assert tensor_metadata({spec.name: spec for spec in specs}) == [
        {"name": "a", "datatype": "FP32", "shape": [-1, 4]},
        {"name": "b", "datatype": "BYTES", "shape": []},
        {"name": "c", "datatype": "COMPLEX64", "shape": [-1]},
    ]
    assert set(DATATYPES.values()) == set(DTYPES)

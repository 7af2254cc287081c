"""Open Inference Protocol v2: bytes to arrays and back, without a server."""

import json
import tracemalloc
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlbuffet import InvalidInput, Signature, Signatures, TensorSpec
from mlbuffet.conversion import ML_INTEGERS, is_small
from mlbuffet.server.http.prediction import Answer
from mlbuffet.server.protocols.open_inference import requests, responses
from mlbuffet.server.protocols.open_inference.binary import array_from_buffer, buffer_from_array
from mlbuffet.server.protocols.open_inference.datatypes import BINARY_ONLY, DATATYPES, DTYPES
from mlbuffet.server.protocols.open_inference.metadata import tensor_metadata
from mlbuffet.server.protocols.open_inference.requests import InferCall, OutputForm, padding_for, take_apart

JSON_DATATYPES = [datatype for datatype in DTYPES if datatype not in BINARY_ONLY]
X = TensorSpec("x", np.float32, (None, 2))
SIGNATURES = Signatures({"serving_default": Signature([X], [X])})


def decode_request(body: bytes, header_length: object = None, signatures: Signatures = SIGNATURES) -> InferCall:
    parts = take_apart(body, None if header_length is None else str(header_length))
    return requests.decode_request(parts, signatures)


def encode_response(call: InferCall, outputs: dict[str, Any]) -> bytes:
    return responses.encode_response(call, "m", 1, outputs).body


def header_length_of(response: Answer) -> int | None:
    value = dict(response.headers).get(b"inference-header-content-length")
    return None if value is None else int(value)


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
    assert (call.signature, list(call.outputs or ()), call.id) == ("embed", ["b", "a"], "7")


def test_null_is_absent() -> None:
    (tensor,) = json.loads(request(parameters=None))["inputs"]
    call = decode_request(json.dumps({"id": None, "parameters": None, "outputs": None, "inputs": [tensor]}).encode())
    assert (call.id, call.signature, call.outputs) == (None, None, None)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (request()[:-1] + b', "inputs": []}', "inputs"),
        (b'{"id": "a", ' + request()[1:-1] + b', "id": "b"}', "id"),
        (b'{"\\u0069d": "a", ' + request()[1:-1] + b', "id": "b"}', "id"),
        (request().replace(b'"shape": [1]', b'"shape": [2], "shape": [1]'), "shape"),
        (request().replace(b'"data": [1]', b'"data": [1], "data": [%b]' % b",".join([b"2"] * 3000)), "data"),
        (request(parameters={"a": 1}).replace(b'"a": 1', b'"a": 1, "a": 2'), "a"),
        (request()[:-1] + b', "outputs": [{"name": "y", "name": "z"}]}', "name"),
        (request()[:-1] + b', "mine": {"x": NaN, "x": 1}}', "x"),
    ],
)
def test_a_name_twice_in_one_object_is_refused(body: bytes, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"the name '{name}' is given twice in one object"):
        decode_request(body)


def test_an_element_of_4_mb_travels() -> None:
    element = bytes(range(256)) * 16_384
    buffer = len(element).to_bytes(4, "little") + element
    header = request(datatype="BYTES", data=None, parameters={"binary_data_size": len(buffer)})
    array = decode_request(header + buffer, len(header)).inputs["x"]
    assert array.tolist() == [element]
    assert bytes(buffer_from_array(array)) == buffer


def test_colons_in_texts_are_no_names() -> None:
    tensor = {"name": "x:0", "shape": [2], "datatype": "BYTES", "data": ["a:b", "::" * 2000]}
    members = {"id": "urn:7", "model_name": "m:1", "parameters": {"signature_name": "s:t"}, "inputs": [tensor]}
    call = decode_request(json.dumps({**members, "outputs": [{"name": "y:0"}]}).encode())
    assert (call.id, call.signature, list(call.outputs or ()), list(call.inputs)) == ("urn:7", "s:t", ["y:0"], ["x:0"])


@pytest.mark.parametrize("shape", [(1_000_000,), (2000, 500)])
def test_a_shape_that_holds_less_is_refused_before_the_elements_are_made(shape: tuple[int, ...]) -> None:
    body = request(shape=[3], data=np.zeros(shape, np.int8).tolist()).replace(b" ", b"")
    tracemalloc.start()
    with pytest.raises(InvalidInput, match=r"input 'x' has 1000000 elements; its shape \[3\] holds 3"):
        decode_request(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(body)  # copies of its text; a list of a million elements has 8 MB


def test_texts_beyond_the_shape_are_counted_before_they_are_made() -> None:
    with pytest.raises(InvalidInput, match=r"input 'x' has 3 elements; its shape \[2\] holds 2"):
        decode_request(request(datatype="BYTES", shape=[2], data=["a", 'b",\\"', "c\\"]))


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
        ({"shape": [16, 2**60 + 2]}, "which is too large for any tensor"),
        ({"shape": [2**30, 2**30], "data": []}, "has 0 elements; its shape"),
        ({"shape": [2**32, 2**32], "data": []}, "which is too large for any tensor"),
        ({"shape": [0, 2**62], "data": []}, "which is too large for any tensor"),
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
        ({"data": None}, "input 'x' has neither 'data', a list, nor the parameter 'binary_data_size'"),
        ({"data": 1}, "input 'x' has neither 'data', a list"),
        ({"datatype": "FP16"}, "FP16 cannot travel as JSON, use the binary form"),
        ({"datatype": "BF16"}, "BF16 cannot travel as JSON, use the binary form"),
        ({"parameters": {"binary_data_size": 4}}, "input 'x' has both 'data' and 'binary_data_size'"),
        ({"data": None, "parameters": {"binary_data_size": 4}}, "input 'x' has 4 bytes; the body has 0 left"),
        ({"data": None, "parameters": {"binary_data_size": -4}}, "is -4; it is a number of bytes"),
        ({"data": None, "parameters": {"binary_data_size": True}}, "is True; it is a number of bytes"),
        ({"parameters": {"shared_memory_region": "r"}}, "input 'x' is in shared memory"),
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
        (b'{"inputs": [], "parameters": {"signature_name": 1}}', "'signature_name' is 1; it is a string"),
        (b'{"inputs": [], "parameters": {"binary_data_output": 1}}', "'binary_data_output' is 1; it is true or false"),
        (b'{"inputs": [], "outputs": [{"name": "y"}, {"name": "y"}]}', "output 'y' is requested twice"),
        (
            b'{"inputs": [], "outputs": [{"name": "y", "parameters": {"classification": 0}}]}',
            "'classification' of output 'y' is 0; it is a number from 1",
        ),
        (
            b'{"inputs": [], "outputs": [{"name": "y", "parameters": {"shared_memory_region": "r"}}]}',
            "output 'y' is wanted in shared memory",
        ),
        (b'{"inputs": [], "id": 1}', "Expected `str | null`, got `int`"),
        (request()[:-2] + b"," + request()[12:], "input 'x' is given twice"),
    ],
)
def test_a_request_of_the_wrong_form_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message.replace("|", r"\|")):
        decode_request(body)


def test_a_response_leaves_out_what_is_absent() -> None:
    body = encode_response(InferCall({}), {"y": np.array([[2.5, np.nan]], np.float32)})
    assert body == (
        b'{"model_name":"m","model_version":"1",'
        b'"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[2.5,NaN]}]}'
    )


def test_a_response_echoes_the_id() -> None:
    assert json.loads(encode_response(InferCall({}, id=""), {}))["id"] == ""


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
        encode_response(InferCall({}, outputs={"y": OutputForm()}), {"y": array})


@pytest.mark.parametrize("dtype", [DTYPES[name] for name in sorted(BINARY_ONLY)])
def test_a_short_float_that_nobody_asked_for_by_name_is_written_as_numbers(dtype: Any) -> None:
    outputs = {"a": np.array([1.5, 2], np.float32), "b": np.array([1.5, 2], np.float32).astype(dtype)}
    a, b = json.loads(encode_response(InferCall({}), outputs))["outputs"]
    assert a["data"] == [1.5, 2.0]
    assert b == {
        "name": "b",
        "datatype": DATATYPES[np.dtype(dtype)],
        "shape": [2],
        "data": outputs["b"].astype(np.float64).tolist(),
    }


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128, np.longdouble, np.clongdouble])
@pytest.mark.parametrize("binary", [False, True])
def test_an_output_that_cannot_be_sent_is_left_out_and_said_to_be_so(dtype: type, *, binary: bool) -> None:
    outputs = {"a": np.array([1.5], np.float32), "b": np.zeros(1, dtype)}
    call = InferCall({}, default_form=OutputForm(binary=binary), id="7")
    response = responses.encode_response(call, "m", 1, outputs)
    answer = json.loads(response.body[: header_length_of(response)])
    problem = f"output 'b' is of dtype {np.dtype(dtype)}, for which the protocol has no datatype"
    assert answer["parameters"] == {"omitted": problem}
    assert ([one["name"] for one in answer["outputs"]], answer["id"]) == (["a"], "7")
    for refused, shown in (
        (InferCall({}, outputs={"a": OutputForm(), "b": OutputForm(binary)}), outputs),
        (call, {"b": outputs["b"]}),
    ):
        with pytest.raises(InvalidInput, match=problem):
            responses.encode_response(refused, "m", 1, shown)


@pytest.mark.parametrize(
    ("datatype", "codes", "values"),
    [
        ("INT4", [0x01, 0xFF, 0xF8], [1, -1, -8]),
        ("UINT4", [0, 15], [0, 15]),
        ("INT2", [0xFE, 1], [-2, 1]),
        ("FLOAT4_E2M1FN", [2, 15], [1, -6]),
        ("FLOAT8_E4M3FN", [0x38, 0xB8], [1, -1]),
    ],
)
def test_what_is_shorter_than_a_byte_is_a_byte_of_its_own(datatype: str, codes: list[int], values: list[int]) -> None:
    array = array_from_buffer(memoryview(bytes(codes)), DTYPES[datatype], [len(codes)], "x")
    assert array.astype(np.float32).tolist() == values
    assert bytes(buffer_from_array(array)) == bytes(codes)


@pytest.mark.parametrize(
    ("datatype", "code"), [("INT4", 8), ("INT4", 0xF7), ("UINT4", 16), ("INT2", 2), ("UINT2", 4), ("FLOAT6_E2M3FN", 64)]
)
def test_a_byte_that_is_no_such_number_is_refused(datatype: str, code: int) -> None:
    with pytest.raises(InvalidInput, match=f"holds a byte that is no {datatype}"):
        array_from_buffer(memoryview(bytes([0, code])), DTYPES[datatype], [2], "x")


def arrays_of(datatype: str) -> st.SearchStrategy[Any]:
    shapes = hnp.array_shapes(min_dims=0, min_side=0, max_side=3)
    if datatype == "BYTES":
        return hnp.arrays(object, shapes, elements=st.text().map(str.encode), fill=st.nothing())
    dtype = DTYPES[datatype]
    if dtype in ML_INTEGERS:
        elements = st.integers(*ML_INTEGERS[dtype])
        return hnp.arrays(np.int8, shapes, elements=elements).map(lambda array: array.astype(dtype))
    if is_small(dtype):
        codes = np.uint16 if dtype.itemsize == 2 else np.uint8
        most = 2 ** ml_dtypes.finfo(dtype).bits - 1  # type: ignore[no-untyped-call]  # it has no types
        return hnp.arrays(codes, shapes, elements=st.integers(0, most)).map(lambda array: array.view(dtype))
    return hnp.arrays(dtype, shapes)


@given(st.sampled_from(JSON_DATATYPES).flatmap(arrays_of))
def test_every_array_comes_back_from_a_response_sent_as_a_request(array: np.ndarray) -> None:
    response = encode_response(InferCall({}), {"x": array}).replace(b'"outputs"', b'"inputs"', 1)
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


def binary_request(array: np.ndarray, *, buffer: bytes | None = None, **tensor: Any) -> tuple[bytes, int]:
    """A request whose input ``x`` is the raw form of ``array``, or ``buffer``; and the length of its JSON."""
    raw = bytes(buffer_from_array(array)) if buffer is None else buffer
    whole = {"name": "x", "shape": array.shape, "datatype": DATATYPES[array.dtype], **tensor}
    header = json.dumps({"inputs": [{**whole, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    return header + raw, len(header)


@pytest.mark.parametrize(
    ("array", "raw"),
    [
        (np.array([1, 258], np.uint16), b"\x01\x00\x02\x01"),
        (np.array([1.5], ">f4"), b"\x00\x00\xc0\x3f"),
        (np.array([1.5], ml_dtypes.bfloat16), b"\xc0\x3f"),
        (np.array([True, False]), b"\x01\x00"),
        (np.array([b"a\x00b", b""], object), b"\x03\x00\x00\x00a\x00b\x00\x00\x00\x00"),
        (np.arange(4, dtype=np.int8).reshape(2, 2).T, b"\x00\x02\x01\x03"),
        (np.zeros((0, 3)), b""),
        (np.array(7, np.int8), b"\x07"),
    ],
)
def test_raw_buffers_are_little_endian_row_major_and_unpadded(array: np.ndarray, raw: bytes) -> None:
    assert bytes(buffer_from_array(array)) == raw


@given(st.sampled_from(list(DTYPES)).flatmap(arrays_of))
def test_every_array_comes_back_from_its_raw_form(array: np.ndarray) -> None:
    back = decode_request(*binary_request(array)).inputs["x"]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert bytes(buffer_from_array(back)) == bytes(buffer_from_array(array))


def test_inputs_in_json_and_in_raw_form_mix() -> None:
    header = json.dumps(
        {
            "inputs": [
                {"name": "a", "shape": [1], "datatype": "INT8", "parameters": {"binary_data_size": 1}},
                {"name": "b", "shape": [1], "datatype": "INT8", "data": [2]},
                {"name": "c", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}},
                {"name": "d", "shape": [0], "datatype": "FP32", "data": None, "parameters": {"binary_data_size": 0}},
            ]
        }
    ).encode()
    inputs = decode_request(header + b"\x01" + np.float64(0.1).tobytes(), len(header)).inputs
    assert {name: array.tolist() for name, array in inputs.items()} == {"a": [1], "b": [2], "c": [0.1], "d": []}


@pytest.mark.parametrize(
    ("array", "changes", "message"),
    [
        (np.zeros(2, np.float32), {"shape": [3]}, r"has 8 bytes; FP32 of shape \[3\] takes 12"),
        (np.zeros(2, np.float32), {"buffer": b"1234567"}, "has 7 bytes"),
        (np.zeros(1, np.bool_), {"buffer": b"\x02"}, "holds a byte that is neither 0 nor 1"),
        (np.array([b"ab"], object), {"buffer": b"\x03\x00\x00\x00ab"}, "ends within element 0"),
        (np.array([b"ab"] * 2, object), {"buffer": b"\x02\x00\x00\x00abc\x00"}, "before the length of element 1"),
        (np.array([b"ab"], object), {"buffer": b"\x01\x00\x00\x00ab"}, "1 bytes after its last element"),
        (np.array([b"ab"], object), {"shape": [2**40]}, "too few for 1099511627776 elements"),
    ],
)
def test_a_raw_buffer_that_does_not_hold_its_tensor_is_refused(
    array: np.ndarray, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        decode_request(*binary_request(array, **changes))


@pytest.mark.parametrize("length", ["-1", "1_0", "", " 5", "+5", "٥", "9999", "1e1", "9" * 30])
def test_a_header_length_is_a_number_within_the_body(length: str) -> None:
    with pytest.raises(InvalidInput, match="it is the number of bytes of JSON, of 85 at most"):
        decode_request(request().ljust(85), length)


def test_bytes_that_no_input_takes_are_refused() -> None:
    body, length = binary_request(np.zeros(2))
    with pytest.raises(InvalidInput, match="the body has 1 bytes after the buffers"):
        decode_request(body + b"x", length)
    with pytest.raises(InvalidInput, match="not valid JSON"):
        decode_request(body, length - 1)


def one_input(spec: TensorSpec) -> Signatures:
    return Signatures({"serving_default": Signature([spec], [])})


@pytest.mark.parametrize(
    ("spec", "body", "expected"),
    [
        (TensorSpec("x", np.int16, (None, 2)), b"\1\0\2\0\3\0\4\0", [[1, 2], [3, 4]]),
        (TensorSpec("x", np.int16, (2,)), b"\1\0\2\0", [1, 2]),
        (TensorSpec("x", object, (1,)), b"text\0", [b"text\0"]),
        (TensorSpec("x", object, (1, 1)), b"", [[b""]]),
        (TensorSpec("x", object, ()), b"\1\0\0\0a", b"\1\0\0\0a"),
        (TensorSpec("x", np.int16, (None, 0)), b"", []),
        (TensorSpec("x", np.int16, (2, None)), b"", [[], []]),
        (TensorSpec("x", np.int16, ()), b"\1\0", 1),
    ],
)
def test_a_raw_request_is_the_only_input(spec: TensorSpec, body: bytes, expected: list[Any]) -> None:
    call = decode_request(body, 0, one_input(spec))
    assert call.inputs["x"].tolist() == expected
    assert call.outputs is None
    assert call.default_form.binary


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TensorSpec("x", np.int16, (None, None)), r"'x' of shape \(any, any\): .* one free dimension at most"),
        (TensorSpec("x", np.int16, None), "'x' of shape any rank: .* one free dimension at most"),
        (TensorSpec("x", np.complex64, (1,)), "'x' is complex64, for which the protocol has no datatype"),
        (TensorSpec("x", np.int16, (None, 2)), r"'x' of shape \(any, 2\): the body has 3 bytes, .* multiple of 4"),
        (TensorSpec("x", np.int16, (None, 0)), "'x' has 3 bytes; INT16 of shape .* takes 0"),
        (TensorSpec("x", np.int16, (2,)), "'x' has 3 bytes; INT16 of shape .* takes 4"),
        (TensorSpec("x", np.bool_, (3,)), "'x' holds a byte that is neither 0 nor 1"),
        (TensorSpec("x", object, (None,)), r"'x' of shape \(any,\): .* one element of BYTES, .* must be \[1\]"),
        (TensorSpec("x", object, (None, 1)), r"'x' of shape \(any, 1\): .* one element of BYTES"),
        (TensorSpec("x", object, (2,)), "'x' .* one element of BYTES"),
        (TensorSpec("x", object, (1, 0)), "'x' .* one element of BYTES"),
        (TensorSpec("x", object, None), "'x' of shape any rank: .* one free dimension at most"),
    ],
    ids=str,
)
def test_a_raw_request_that_does_not_fit_names_the_input_and_the_rule(spec: TensorSpec, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        decode_request(b"abc", 0, one_input(spec))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([X, TensorSpec("y", np.int8, ())], "models with one input; this one has 2: 'x', 'y'"),
        ([], "models with one input; this one has 0: none"),
    ],
)
def test_a_raw_request_is_for_one_input(inputs: list[TensorSpec], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        decode_request(b"abc", 0, Signatures({"serving_default": Signature(inputs, [])}))


def test_a_raw_request_needs_a_default_signature() -> None:
    with pytest.raises(InvalidInput, match="no default signature"):
        decode_request(b"abc", 0, Signatures({"a": Signature([X], [])}, default=None))


def test_outputs_are_sent_as_each_was_asked_for() -> None:
    call = decode_request(
        b'{"inputs": [], "parameters": {"binary_data_output": true}, "outputs": [{"name": "a"},'
        b' {"name": "b", "parameters": {"binary_data": false}}, {"name": "c", "parameters": {"classification": 2}}]}'
    )
    assert call.outputs == {
        "a": OutputForm(binary=True),
        "b": OutputForm(),
        "c": OutputForm(binary=True, classes=2),
    }


def test_raw_and_json_outputs_mix_in_one_response() -> None:
    call = InferCall({}, outputs={"a": OutputForm(binary=True), "b": OutputForm(), "c": OutputForm(binary=True)})
    outputs = {"a": np.array([1, 2], np.int8), "b": np.array([3]), "c": np.array([1.5], np.float16)}
    response = responses.encode_response(call, "m", 1, outputs)
    length = header_length_of(response)
    assert length is not None
    assert response.body[length:] == b"\1\2\0\x3e"
    assert json.loads(response.body[:length])["outputs"] == [
        {"name": "a", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}},
        {"name": "b", "datatype": "INT64", "shape": [1], "data": [3]},
        {"name": "c", "datatype": "FP16", "shape": [1], "parameters": {"binary_data_size": 2}},
    ]
    assert header_length_of(responses.encode_response(InferCall({}), "m", 1, {})) is None


@pytest.mark.parametrize(
    ("array", "count", "expected"),
    [
        (np.array([0.1, 0.7, 0.2], np.float32), 2, [b"0.700000:1", b"0.200000:2"]),
        (np.array([[0.1, 0.7], [0.9, 0.1]]), 1, [[b"0.700000:1"], [b"0.900000:0"]]),
        (np.array([[3, 5, 4]]), 9, [[b"5:1", b"4:2", b"3:0"]]),
        (np.array([[[1, 2], [3, 4]]], ml_dtypes.bfloat16), 1, [[b"4.000000:3"]]),
        (np.array([[1, 2]], ml_dtypes.float8_e5m2), 1, [[b"2.000000:1"]]),
        (np.array([0.5, 0.5]), 2, [b"0.500000:0", b"0.500000:1"]),
        (np.zeros((0, 3)), 1, []),
    ],
)
def test_the_best_classes_are_written_as_value_and_index(array: np.ndarray, count: int, expected: list[Any]) -> None:
    assert responses.best_classes(array, count, "y").tolist() == expected


@pytest.mark.parametrize("array", [np.array(1.0), np.array([b"a"], object), np.zeros(2, np.complex64)])
def test_what_is_no_scores_has_no_best_classes(array: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"output 'y' .* is no scores of classes"):
        responses.best_classes(array, 1, "y")


@given(st.binary(), st.none() | st.integers(0, 300).map(str) | st.text(max_size=5))
def test_any_bytes_with_any_header_length_are_a_call_or_invalid_input(body: bytes, length: str | None) -> None:
    try:
        assert decode_request(request() + body, length).inputs is not None
    except InvalidInput as error:
        assert str(error)


@pytest.mark.parametrize(
    ("datatype", "header_length", "looked_at"),
    [
        ("FP32", None, "header"),
        ("BYTES", None, "body"),
        ("BOOL", None, "body"),
        ("UINT4", None, "body"),
        ("FLOAT6_E2M3FN", None, "body"),
        ("FLOAT8_E5M2", None, "header"),
        ("BY\\u0054ES", None, "body"),
        ("FP32", "0", "body"),
    ],
)
def test_raw_buffers_count_as_looked_at_only_where_elements_are(
    datatype: str, header_length: str | None, looked_at: str
) -> None:
    header = request(data=None, parameters={"binary_data_size": 4}).replace(b"FP32", datatype.encode())
    body = header + bytes(4)
    sizes = {"header": len(header), "body": len(body)}
    assert take_apart(body, header_length or str(len(header))).size_to_decode == sizes[looked_at]


@pytest.mark.parametrize("padding", range(17))
def test_behind_its_lead_a_raw_buffer_is_aligned_and_the_rest_as_ever(padding: int) -> None:
    body, length = binary_request(np.arange(3.0))
    body, header_length = b" " * padding + body, str(length + padding)
    lead = padding_for(header_length)
    parts = take_apart(b"?" * lead + body, header_length, lead)
    array = requests.decode_request(parts, SIGNATURES).inputs["x"]
    assert array.ctypes.data % 16 == 0
    assert array.tolist() == [0, 1, 2]
    with pytest.raises(InvalidInput, match=f"of {len(body)} at most"):
        take_apart(b"?" * lead + body, "999", lead)


@pytest.mark.parametrize("header_length", ["", "0", "160", "-1", "x"])
def test_what_has_no_use_for_a_lead_has_none(header_length: str) -> None:
    assert padding_for(header_length) == 0

"""TensorFlow Serving's JSON: bytes to arrays and back, without a server."""

import json
from base64 import b64encode
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlbuffet import InvalidInput, Signature, Signatures, TensorSpec
from mlbuffet.inference import ModelDescription
from mlbuffet.server.protocols.tensorflow_serving.classify_regress import (
    encode_classes,
    encode_regressions,
    outputs_of_classifier,
    outputs_of_regressor,
)
from mlbuffet.server.protocols.tensorflow_serving.datatypes import datatype_of, type_name
from mlbuffet.server.protocols.tensorflow_serving.example_message import encode_example
from mlbuffet.server.protocols.tensorflow_serving.examples import decode_examples
from mlbuffet.server.protocols.tensorflow_serving.metadata import model_metadata
from mlbuffet.server.protocols.tensorflow_serving.requests import PredictCall, decode_predict
from mlbuffet.server.protocols.tensorflow_serving.responses import encode_columns, encode_rows

DTYPES: list[Any] = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "object"]
DTYPES += ["float16", "float32", "float64", ml_dtypes.bfloat16, ml_dtypes.int4]


def signatures(**dtypes: Any) -> Signatures:
    """One signature with an input for each keyword, whose shapes are not what the tests send."""
    specs = [TensorSpec(name, dtype, (None, 77)) for name, dtype in dtypes.items()]
    return Signatures({"serving_default": Signature(specs, []), "other": Signature([TensorSpec("z", "int8", ())], [])})


ONE = signatures(x="float32")
TWO = signatures(x="float32", t=object)


def decoded(body: str, known: Signatures = ONE) -> PredictCall:
    return decode_predict(body.encode(), known)


def refusal(body: str, known: Signatures = ONE) -> str:
    with pytest.raises(InvalidInput) as caught:
        decoded(body, known)
    return str(caught.value)


def same(array: np.ndarray, expected: Any, dtype: Any = np.float32) -> None:
    np.testing.assert_array_equal(array, np.array(expected, dtype), strict=True)


# requests


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ("[1, 2.5, NaN, -Infinity]", [1, 2.5, np.nan, -np.inf]),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[[], []]", [[], []]),
        ('[{"x": 1}, {"x": 2}]', [1, 2]),
        ('[{"x": [[1, 2]]}]', [[[1, 2]]]),
        ("[1435774380]", [1435774336]),  # TensorFlow Serving's documentation: the nearest float
        ("[1e5, 3.4028235e38, -0.0]", [1e5, 3.4028235e38, -0.0]),
    ],
)
def test_rows_of_one_input_are_values_or_objects(instances: str, expected: Any) -> None:
    call = decoded(f'{{"instances": {instances}}}')
    assert (call.signature, call.in_rows, list(call.inputs)) == ("serving_default", True, ["x"])
    same(call.inputs["x"], expected)


def test_rows_of_several_inputs_are_objects() -> None:
    call = decoded('{"instances": [{"x": [1, 2], "t": "a"}, {"t": {"b64": "/w=="}, "x": [3, 4]}]}', TWO)
    same(call.inputs["x"], [[1, 2], [3, 4]])
    assert call.inputs["t"].tolist() == [b"a", b"\xff"]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [("5", 5), ("[1, 2]", [1, 2]), ("[]", []), ('{"x": [[1], [2]]}', [[1], [2]]), ('{"x": 7}', 7)],
)
def test_columns_of_one_input_are_a_value_or_an_object(inputs: str, expected: Any) -> None:
    call = decoded(f'{{"signature_name": "serving_default", "inputs": {inputs}}}')
    assert not call.in_rows
    same(call.inputs["x"], expected)


def test_columns_of_several_inputs_are_an_object() -> None:
    call = decoded('{"inputs": {"t": [["a", "b"]], "x": 1}}', TWO)
    same(call.inputs["x"], 1)
    assert call.inputs["t"].tolist() == [[b"a", b"b"]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ('["é", ""]', ["é".encode(), b""]),
        ('[{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]', [b"hello", b"world"]),
        ('[[{"b64": "aGVsbG8"}], [{"b64": "d29y\\nbGQ=\\n"}]]', [[b"hello"], [b"world"]]),
        ('[{"t": {"b64": ""}}]', [b""]),
        ('["a\\u0000b"]', [b"a\0b"]),
    ],
)
def test_text_and_base64_are_elements_of_string_tensors(values: str, expected: list[Any]) -> None:
    assert decoded(f'{{"instances": {values}}}', signatures(t=object)).inputs["t"].tolist() == expected


def test_one_value_in_base64_is_a_column() -> None:
    assert decoded('{"inputs": {"b64": "aGk="}}', signatures(t=object)).inputs["t"].tolist() == b"hi"


@pytest.mark.parametrize(
    "name", ['"signature_name": "other", ', '"unknown": {"members": [1]}, "signature_name": "other", ']
)
def test_a_request_names_its_signature(name: str) -> None:
    call = decoded(f'{{{name}"inputs": 1}}')
    assert (call.signature, list(call.inputs)) == ("other", ["z"])


def test_an_empty_name_is_the_default_signature() -> None:
    assert decoded('{"signature_name": "", "inputs": 1}').signature == "serving_default"


@pytest.mark.parametrize("name", ["5", "true", '["other"]', "[" * 500 + "]" * 500])
def test_the_name_of_a_signature_is_a_string(name: str) -> None:
    assert refusal(f'{{"signature_name": {name}, "instances": [1]}}') == "'signature_name' key must be a string value."


def test_an_unknown_signature_is_refused_with_those_there_are() -> None:
    text = refusal('{"signature_name": "s", "instances": [1]}')
    assert text.startswith('Serving signature name: "s" not found in signature def: ')
    assert "serving_default, other" in text
    without = Signatures({"a": Signature([], []), "b": Signature([], [])}, default=None)
    text = refusal('{"instances": [1]}', without)
    assert text.startswith('Serving signature name: "serving_default" not found in signature def: ')
    assert "a, b" in text


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (
            "int64",
            "1.5",
            "input 'x' holds 1.5 at [0]; int64 takes whole numbers; a JSON Number is not of expected type: int64",
        ),
        ("int64", "1.0", "a JSON Number is not of expected type: int64"),
        ("int32", '"1"', "a JSON String is not of expected type: int32"),
        (
            "float32",
            '"1.5"',
            "input 'x' holds '1.5' at [0]; float32 takes numbers; a JSON String is not of expected type: float",
        ),
        ("float64", "null", "a JSON Null is not of expected type: double"),
        ("float32", "true", "a JSON Bool is not of expected type: float"),
        ("float32", '{"a": 1}', "lacks the input 'x'"),
        ("float32", '[{"x": 1}]', "a JSON Object is not of expected type: float"),
        ("float32", '{"b64": "aGk="}', "a JSON Object is not of expected type: float"),
        ("float16", "[null]", "a JSON Null is not of expected type: half"),
        ("bool", "1", "a JSON Number is not of expected type: bool"),
        ("object", "1", "a JSON Number is not of expected type: string"),
        ("object", '[{"b64": 1}]', "a JSON Object is not of expected type: string"),
        ("object", '[{"b64": "aGk=", "x": 1}]', "a JSON Object is not of expected type: string"),
        ("object", '[["a", {"b64": "!"}]]', "'b64' of input 'x' at [0, 0, 1] is '!', which is not base64"),
        ("object", '{"b64": "a==="}', "'b64' of input 'x' at [0] is 'a===', which is not base64"),
        ("object", '{"b64": "' + "é" * 50 + '"}', "é...', which is not base64"),
        ("int8", "300", "input 'x' holds 300 at [0], which is out of the range of int8"),
        ("uint8", "-1", "out of the range of uint8"),
        ("uint64", "18446744073709551616", "out of the range of uint64"),
        ("float32", "1e40", "input 'x' holds 1e+40 at [0], which is out of the range of float32"),
        ("float64", "1e999", "out of range"),
        ("complex64", "1", "input 'x' is complex64, for which the protocol has no form"),
        ("float32", "[1, [2]]", "input 'x' holds [2] at [0, 1]; float32 takes numbers"),
        ("float32", "[" * 70 + "]" * 70, "nested deeper than 64"),
        ("object", "[" * 70 + "]" * 70, "nested deeper than 64"),
        ("object", "[" * 900 + "]" * 900, "nested deeper than 64"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place(dtype: str, value: str, message: str) -> None:
    assert message in refusal(f'{{"instances": [{value}]}}', signatures(x=dtype))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "not valid JSON"),
        ("instances = [1, 2]", "not valid JSON"),
        ("null", "Expected `object`, got `null`"),
        ("[]", "Expected `object`, got `array`"),
        ("{}", "neither 'instances' (rows) nor 'inputs' (columns)"),
        ('{"instances": [1], "inputs": [1]}', "both 'instances' (rows) and 'inputs' (columns)"),
        ('{"instances": [1], "inputs": null}', "both 'instances'"),
        ('{"instances": []}', "'instances' is empty"),
        ('{"instances": null}', "'instances' is not a list"),
        ('{"instances": 5}', "'instances' is not a list"),
        ('{"instances": {"x": [1]}}', "'instances' is not a list"),
        ('{"inputs": null}', "holds None"),
        ('{"instances": [[1, 2], [3]]}', "ragged"),
        ('{"instances": [[1, 2], [[3, 4]]]}', "ragged"),
        ('{"instances": [1, {"x": 2}]}', "holds {'x': 2} at [1]"),
        ('{"instances": [{"x": 1}, 2]}', "row 1 of 'instances' is no object of named values"),
        ('{"instances": [{"x": 1}, {"b64": "aGk="}]}', "row 1 of 'instances' is no object of named values"),
        ('{"instances": [{}]}', "row 0 of 'instances' lacks the input 'x'; the model takes x: float32 (any, 77)"),
        ('{"instances": [{"x": 1}, {"x": 1, "w": 2}]}', "row 1 of 'instances': there is no input 'w'"),
        ('{"instances": [{"x": [1, 2]}, {"x": [1]}]}', "input 'x' is ragged"),
        ('{"inputs": {"w": 2}}', "'inputs' lacks the input 'x'"),
        ('{"inputs": {"x": 1, "w": 2}}', "'inputs': there is no input 'w'"),
        ('{"inputs": {"x": 1, "x": 2}}', "the name 'x' is given twice in one object"),
        ('{"inputs": {"x": 1, "\\u0078": 2}}', "the name 'x' is given twice in one object"),
        ('{"inputs": {"x": NaN, "x": NaN}}', "the name 'x' is given twice in one object"),
        ('{"instances": [{"x": 1}, {"x": 1, "x": 1}]}', "the name 'x' is given twice in one object"),
        ('{"instances": [1], "instances": [2]}', "the name 'instances' is given twice in one object"),
        ('{"instances": [1], "nested": ' + "[" * 5000 + "]" * 5000 + "}", "nested too deep"),
    ],
)
def test_a_request_of_the_wrong_form_is_refused(body: str, message: str) -> None:
    assert message in refusal(body)


def test_values_without_names_are_refused_where_the_model_takes_several() -> None:
    message = "without names, and the model takes x: float32 (any, 77), t: bytes (any, 77); send objects by name"
    assert refusal('{"instances": [1, 2]}', TWO) == f"'instances' is a list of values {message}"
    assert refusal('{"inputs": [1, 2]}', TWO) == f"'inputs' is a value {message}"


def test_colons_in_texts_are_no_names() -> None:
    body = '{"a:b": 5000e3, "instances": [{"t": "::"}, {"t": ":" }], "inner": {"x": 123456789012345678901234567890}}'
    assert decoded(body, signatures(t=object)).inputs["t"].tolist() == [b"::", b":"]


# responses


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([1, 0.1, 1e16, 1e-7, 2.5], np.float32), b"[1.0,0.1,1e+16,1e-7,2.5]"),
        (np.array([1 / 3, 16777216, 123456792], np.float32), b"[0.33333334,16777216.0,123456790.0]"),
        (np.array([np.nan, np.inf, -np.inf, 1]), b"[NaN,Infinity,-Infinity,1.0]"),
        (np.array([0.1, 1e300]), b"[0.1,1e+300]"),
        (np.array([1, -2], np.int64), b"[1,-2]"),
        (np.array([True, False]), b"[true,false]"),
        (np.array([["é".encode()], [b""]], object), '[["é"],[""]]'.encode()),
        (np.zeros((0, 3), np.float32), b"[]"),
        (np.zeros((2, 0), np.float32), b"[[],[]]"),
        (np.array([0.5], ml_dtypes.bfloat16), b"[0.5]"),
    ],
)
def test_one_output_is_written_without_its_name(array: np.ndarray, text: bytes) -> None:
    assert encode_rows({"y": array}) == b'{"predictions":' + text + b"}"
    assert encode_columns({"y": array}) == b'{"outputs":' + text + b"}"


def test_several_outputs_are_objects() -> None:
    outputs = {"y": np.array([1, np.nan], np.float32), "z": np.array([[1], [2]]), "t": np.array([b"a", b"b"], object)}
    assert encode_rows(outputs) == b'{"predictions":[{"y":1.0,"z":[1],"t":"a"},{"y":NaN,"z":[2],"t":"b"}]}'
    assert encode_columns(outputs) == b'{"outputs":{"y":[1.0,NaN],"z":[[1],[2]],"t":["a","b"]}}'
    assert encode_rows({"y": np.zeros((0, 2)), "z": np.zeros(0)}) == b'{"predictions":[]}'


def test_outputs_whose_names_end_in_bytes_are_base64() -> None:
    image = np.array([[b"\xff\0"], [b""]], object)
    assert encode_rows({"image_bytes": image}) == b'{"predictions":[[{"b64":"/wA="}],[{"b64":""}]]}'
    assert encode_columns({"image_bytes": np.array(b"hi", object)}) == b'{"outputs":{"b64":"aGk="}}'
    assert encode_columns({"n_bytes": np.array([7], np.int64)}) == b'{"outputs":[7]}'
    several = {"image_bytes": np.array([b"hi"], object), "y": np.array([1])}
    assert encode_rows(several) == b'{"predictions":[{"image_bytes":{"b64":"aGk="},"y":1}]}'


def test_a_scalar_is_a_column_and_no_row() -> None:
    outputs = {"y": np.array([1.0]), "loss": np.array(0.5)}
    assert encode_columns(outputs) == b'{"outputs":{"y":[1.0],"loss":0.5}}'
    assert encode_columns({"loss": np.array(0.5)}) == b'{"outputs":0.5}'
    with pytest.raises(InvalidInput, match="output 'loss' is a scalar and has no rows; ask in columns"):
        encode_rows(outputs)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"y": np.zeros(2), "z": np.zeros(3)}, r"differ in their number of rows \(y: 2, z: 3\)"),
        ({}, "there are none"),
        ({"y": np.array([b"\xff"], object)}, "output 'y' holds bytes that are not UTF-8; .*'_bytes'"),
        ({"y": np.zeros(1, np.complex64)}, "output 'y' is complex64, for which the protocol has no form"),
    ],
)
def test_outputs_that_are_no_rows_are_refused(outputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        encode_rows(outputs)


def test_a_model_without_outputs_has_empty_columns() -> None:
    assert encode_columns({}) == b'{"outputs":{}}'


# both


def arrays_of(dtype: Any) -> st.SearchStrategy[Any]:
    shapes = hnp.array_shapes(min_dims=0, min_side=0, max_side=3)
    if dtype == "object":
        return hnp.arrays(object, shapes, elements=st.binary(), fill=st.nothing())
    if dtype is ml_dtypes.bfloat16:
        return hnp.arrays(np.uint16, shapes).map(lambda array: array.view(ml_dtypes.bfloat16))
    if dtype is ml_dtypes.int4:
        return hnp.arrays(np.int8, shapes, elements=st.integers(-8, 7)).map(lambda array: array.astype(dtype))
    return hnp.arrays(dtype, shapes)


def assert_same(array: np.ndarray, expected: np.ndarray) -> None:
    assert array.dtype == expected.dtype
    if array.dtype == ml_dtypes.bfloat16:  # whose NaNs numpy cannot compare
        array, expected = array.astype(np.float32), expected.astype(np.float32)
    np.testing.assert_array_equal(array, expected, strict=True)


@given(st.sampled_from(DTYPES).flatmap(arrays_of))
def test_every_array_comes_back_from_columns(array: np.ndarray) -> None:
    body = encode_columns({"x_bytes": array}).replace(b"outputs", b"inputs", 1)
    back = decode_predict(body, signatures(x_bytes=array.dtype)).inputs["x_bytes"]
    if array.size:  # of an empty tensor the lists show only the first sizes
        assert_same(back, array)


@given(array=st.sampled_from(DTYPES).flatmap(arrays_of), several=st.booleans())
def test_every_array_comes_back_from_rows(array: np.ndarray, *, several: bool) -> None:
    if not array.size or not array.ndim:
        return
    outputs = {"x_bytes": array, **({"y": np.arange(len(array))} if several else {})}
    body = encode_rows(outputs).replace(b"predictions", b"instances", 1)
    call = decode_predict(body, signatures(**{name: one.dtype for name, one in outputs.items()}))
    for name, one in outputs.items():
        assert_same(call.inputs[name], one)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just({"b64": "aGk="}),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["x", "t", "b64"]), inner),
)
REQUEST = st.dictionaries(st.sampled_from(["instances", "inputs", "signature_name", "examples", "context"]), JSON)


@given(st.binary() | REQUEST.map(lambda value: json.dumps(value).encode()), st.sampled_from([*DTYPES, "complex64"]))
def test_any_bytes_are_a_call_or_invalid_input(body: bytes, dtype: Any) -> None:
    for known in (signatures(x=dtype), signatures(x=dtype, t=object)):
        for decode in (decode_predict, decode_examples):
            try:
                assert decode(body, known)[0] in known
            except InvalidInput as error:
                assert str(error)


# classify and regress


def test_a_feature_that_is_a_float_in_one_example_is_one_in_all() -> None:
    _, found = decode_examples(b'{"examples": [{"x": 1.5}, {"x": 2}, {"x": [3, 4]}, {"y": 1}]}', ONE)
    floats = [encode_example({"x": values}) for values in ([1.5], [2.0], [3.0, 4.0])]
    assert list(found) == [*floats, encode_example({"y": [1]})]


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("[1.5, 2]", [1.5, 2.0]),
        ("[2, 1.5]", [2.0, 1.5]),
        ("[0, -1, 1e20, 100000000000000000000]", [0.0, -1.0, 1e20, 1e20]),
        ("[1, 2]", [1, 2]),
        ("1", [1]),
        ("[true, 2]", [1, 2]),
    ],
)
@pytest.mark.parametrize("body", ['{{"examples": [{{"x": {}}}]}}', '{{"context": {{"x": {}}}, "examples": [{{}}]}}'])
def test_numbers_of_which_one_is_a_float_are_floats(body: str, value: str, meant: list[float]) -> None:
    _, (example,) = decode_examples(body.format(value).encode(), ONE)
    assert example in (encode_example({"x": meant}), encode_example({"x": meant}) + encode_example({}))


def examples_refusal(body: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        decode_examples(body.encode(), ONE)
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "no 'examples'"),
        ('{"examples": []}', "'examples' is empty; it must be a list with one object"),
        ('{"examples": {"x": 1}}', "'examples' is an object; it must be a list with one object"),
        ('{"examples": null}', "'examples' is null; it must be a list"),
        ('{"examples": "a"}', "'examples' is text; it must be a list"),
        ('{"examples": [[1]]}', "example 0 is no object of features; it must be one"),
        ('{"examples": [{}], "context": [1]}', "'context' is no object of features; it must be one"),
        ('{"examples": [1]}', "example 0 is no object of features"),
        ('{"examples": [{}], "context": 1}', "'context' is no object of features"),
        ('{"examples": [{"x": null}]}', "feature 'x' of example 0 holds null"),
        ('{"examples": [{}, {"x": [[1]]}]}', "feature 'x' of example 1 holds a list within a list"),
        ('{"examples": [{"x": {"a": 1}}]}', "holds an object"),
        ('{"examples": [{"x": {"b64": "!"}}]}', "'b64' of feature 'x' of example 0 is '!', which is not base64"),
        (
            '{"examples": [{"x": [1.5, true]}]}',
            "feature 'x' of example 0 mixes 1.5 and true; its values are of one type",
        ),
        ('{"examples": [{"x": [1.5, 2, false]}]}', "mixes 1.5 and 2; its values are of one type"),
        ('{"examples": [{"x": [1.5, null]}]}', "feature 'x' of example 0 holds null"),
        ('{"examples": [{"x": [1.5, [2]]}]}', "feature 'x' of example 0 holds a list within a list"),
        ('{"examples": [{"x": [2.5, "a"]}]}', "mixes 2.5 and text"),
        ('{"examples": [{"x": [{"b64": "AA=="}, 1]}]}', "mixes bytes and 1"),
        (f'{{"examples": [{{"x": [1.5, {10**400}]}}]}}', "out of the range of float32"),
        ('{"examples": [{"x": ["a", 1]}]}', "mixes text and 1"),
        ('{"examples": [{"x": 9223372036854775808}]}', "out of the range of int64"),
        ('{"examples": [{"x": 1e39}]}', "out of the range of float32"),
        ('{"examples": [{"x": 1, "x": 2}]}', "the name 'x' is given twice"),
        ('{"context": {"x": 1, "x": 2}, "examples": [{}]}', "the name 'x' is given twice"),
        ('{"signature_name": "s", "examples": [{}]}', 'Serving signature name: "s" not found'),
    ],
)
def test_examples_of_the_wrong_form_are_refused(body: str, message: str) -> None:
    assert message in examples_refusal(body)


TEXT, FLOAT = TensorSpec("inputs", object, (None,)), TensorSpec("inputs", np.float32, (None, 1))


def specs(*names: str) -> list[TensorSpec]:
    return [TensorSpec(name, object if name == "classes" else np.float32, None) for name in names]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [(["scores"], ["scores"]), (["scores", "classes"], ["classes", "scores"]), (["scores", "logits"], ["scores"])],
)
def test_a_classifier_is_known_by_the_names_of_its_tensors(names: list[str], wanted: list[str]) -> None:
    assert outputs_of_classifier(Signature([TEXT], specs(*names)), "s") == wanted


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [([TEXT], []), ([TEXT], ["y"]), ([TEXT], ["classes", "scores", "y"]), ([FLOAT], ["scores"]), ([], ["scores"])],
)
def test_other_signatures_do_not_classify(inputs: list[TensorSpec], outputs: list[str]) -> None:
    with pytest.raises(InvalidInput, match="signature 's' cannot classify: one that does "):
        outputs_of_classifier(Signature(inputs, specs(*outputs)), "s")


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [([TEXT], []), ([TEXT], ["y"]), ([TEXT], ["outputs", "y"]), ([FLOAT], ["outputs"])],
)
def test_other_signatures_do_not_regress(inputs: list[TensorSpec], outputs: list[str]) -> None:
    assert outputs_of_regressor(Signature([TEXT], specs("outputs")), "s") == ["outputs"]
    with pytest.raises(InvalidInput, match="signature 's' cannot regress: one that does "):
        outputs_of_regressor(Signature(inputs, specs(*outputs)), "s")


def test_classes_are_labels_with_scores() -> None:
    scores = np.array([[0.1, 1.0], [np.nan, np.inf]], np.float32)
    labels = np.array([[b"a", "é".encode()], [b"", b"b"]], object)
    assert (
        encode_classes({"scores": scores, "classes": labels}, 2)
        == '{"results":[[["a",0.1],["é",1.0]],[["",NaN],["b",Infinity]]]}'.encode()
    )
    assert encode_classes({"scores": scores[:1]}, 1) == b'{"results":[[["",0.1],["",1.0]]]}'
    assert encode_classes({"classes": labels[1:]}, 1) == b'{"results":[[["",0.0],["b",0.0]]]}'


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_regressions_are_values(shape: tuple[int, ...]) -> None:
    values = np.array([0.1, 42], np.float32).reshape(shape)
    assert encode_regressions({"outputs": values}, 2) == b'{"results":[0.1,42.0]}'


@pytest.mark.parametrize(
    "outputs",
    [
        {"scores": np.zeros(2, np.float32)},
        {"scores": np.zeros((3, 1), np.float32)},
        {"scores": np.zeros((2, 1))},
        {"classes": np.zeros((2, 1), np.int64)},
        {"classes": np.full((2, 2), b"", object), "scores": np.zeros((2, 1), np.float32)},
        {"classes": np.full((2, 1), b"\xff", object)},
    ],
)
def test_outputs_that_are_no_classes_are_refused(outputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(InvalidInput, match=r"shape|UTF-8"):
        encode_classes(outputs, 2)


@pytest.mark.parametrize("array", [np.zeros(3, np.float32), np.zeros((2, 2), np.float32), np.zeros(2), np.float32(1)])
def test_outputs_that_are_no_values_are_refused(array: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"results of these examples are float32 of shape \(2,\)"):
        encode_regressions({"outputs": np.asarray(array)}, 2)


# metadata


def test_metadata_is_such_as_protobuf_writes_it() -> None:
    x, y = TensorSpec("x", np.float32, (None, 1)), TensorSpec("y", object, None, wire_name="PartitionedCall:2")
    shown = model_metadata(
        ModelDescription("m", 123, "", "", Signatures({"s": Signature([x], [y])}, None), [123], None)
    )
    assert shown["model_spec"] == {"name": "m", "signature_name": "", "version": "123"}
    dims = [{"size": "-1", "name": ""}, {"size": "1", "name": ""}]
    assert shown["metadata"]["signature_def"]["signature_def"] == {
        "s": {
            "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": "x:0"}},
            "outputs": {
                "y": {
                    "dtype": "DT_STRING",
                    "tensor_shape": {"dim": [], "unknown_rank": True},
                    "name": "PartitionedCall:2",
                }
            },
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }
    }


@pytest.mark.parametrize(
    ("dtype", "name", "short"),
    [
        ("int64", "DT_INT64", "int64"),
        ("uint16", "DT_UINT16", "uint16"),
        ("float16", "DT_HALF", "half"),
        ("bool", "DT_BOOL", "bool"),
        (ml_dtypes.bfloat16, "DT_BFLOAT16", "bfloat16"),
        (ml_dtypes.int4, "DT_INT4", "int4"),
        (ml_dtypes.float8_e3m4, "DT_INVALID", "float8_e3m4"),
    ],
)
def test_dtypes_have_tensorflows_names(dtype: Any, name: str, short: str) -> None:
    assert (datatype_of(np.dtype(dtype)), type_name(np.dtype(dtype))) == (name, short)


def test_base64_is_the_standard_one() -> None:
    data = bytes(range(256))
    body = json.dumps({"inputs": {"b64": b64encode(data).decode()}})
    assert decoded(body, signatures(t=object)).inputs["t"].tolist() == data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("AA==", b"\0"),
        ("AA", b"\0"),
        ("AB==", b"\0"),
        ("", b""),
        ("A A\t=\n=", b"\0"),
        ("AAA=", b"\0\0"),
        ("AAAA", b"\0" * 3),
    ],
)
def test_padding_of_base64_is_there_as_it_should_or_not_at_all(text: str, value: bytes) -> None:
    for body in ({"inputs": {"b64": text}}, {"instances": [{"t": {"b64": text}}]}):
        assert decoded(json.dumps(body), signatures(t=object)).inputs["t"].ravel().tolist() == [value]


@pytest.mark.parametrize(
    "text", ["AA=", "AA===", "AAA==", "AAAA=", "AAAA====", "A", "A===", "=", "====", "A=A=", "-_8=", "AA\u00a0=="]
)
def test_what_is_no_base64_is_refused_wherever_it_stands(text: str) -> None:
    for body in ({"inputs": {"b64": text}}, {"instances": [{"t": {"b64": text}}]}):
        assert "which is not base64" in refusal(json.dumps(body), signatures(t=object))
    with pytest.raises(InvalidInput, match="which is not base64"):
        decode_examples(json.dumps({"examples": [{"t": {"b64": text}}]}).encode(), signatures(t=object))


def test_null_is_no_name_of_a_signature_and_no_context() -> None:
    assert decoded('{"signature_name": null, "instances": [1]}').signature == "serving_default"
    signature, _ = decode_examples(b'{"signature_name": null, "context": null, "examples": [{}]}', signatures(t=object))
    assert signature == "serving_default"

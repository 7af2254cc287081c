"""Specs and signatures hold what models say of themselves, and hold callers to it."""

import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from mlbuffet import InvalidInput, Signature, Signatures, TensorSpec, UnknownSignature
from mlbuffet.tensors import only_input, rough_size, shape_text

X = TensorSpec("x", np.float32, (None, 4))
Y = TensorSpec("y", np.int64, ())


@pytest.mark.parametrize("dtype", ["U3", "S3", "M8[s]", "V4", np.dtypes.StringDType(), [("a", "f4")]])
def test_a_dtype_that_no_tensor_has_is_refused(dtype: Any) -> None:
    with pytest.raises(ValueError, match="text and bytes are declared as object"):
        TensorSpec("x", dtype, ())


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.int4, np.bool_, np.complex64, object, ">f4"])
def test_the_dtypes_of_numpy_and_ml_dtypes_are_taken_in_native_byte_order(dtype: type) -> None:
    assert TensorSpec("x", dtype, ()).dtype == np.dtype(dtype).newbyteorder("=")


def test_a_name_in_the_models_file_changes_neither_a_spec_nor_how_it_is_shown() -> None:
    named = TensorSpec("x", np.float32, (None, 4), wire_name="serving_default_x:0")
    assert (named.wire_name, X.wire_name) == ("serving_default_x:0", None)
    assert (named, hash(named), str(named)) == (X, hash(X), str(X))
    assert pickle.loads(pickle.dumps(named)).wire_name == "serving_default_x:0"
    assert Signature([named], [Y]) == Signature([X], [Y])
    assert Signature.of_variants([Signature([named], [Y])]).inputs["x"].wire_name == "serving_default_x:0"


@pytest.mark.parametrize("shape", [(-1,), (2.0,), (True,), ("",), ("?",), ("-1",), ("4",), (b"n",)])
def test_a_dimension_is_a_size_a_name_or_none(shape: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=r"neither None nor a size nor a name; .* a name with a letter in it"):
        TensorSpec("x", np.float32, shape)  # type: ignore[arg-type]  # the mistake under test


def test_a_name_in_place_of_a_shape_is_no_shape_of_letters() -> None:
    with pytest.raises(TypeError, match=r"such as \('batch',\), not text"):
        TensorSpec("x", np.float32, "batch")


def test_a_dimension_may_have_a_name() -> None:
    named = TensorSpec("x", np.float32, ("batch", None, 4))
    assert (named.shape, named.sizes) == (("batch", None, 4), (None, None, 4))
    assert str(named) == "x: float32 (batch, any, 4)"
    assert named != TensorSpec("x", np.float32, (None, None, 4))
    assert pickle.loads(pickle.dumps(named)).sizes == (None, None, 4)
    with pytest.raises(InvalidInput, match=r"input 'x' has shape \(2, 4\); the model takes \(batch, any, 4\)"):
        named.check(np.zeros((2, 4), np.float32))


def test_labels_are_one_for_each_class() -> None:
    assert TensorSpec("y", np.float32, ("batch", 2), labels=["a", "b"]).labels == ("a", "b")
    assert TensorSpec("y", np.float32, ("batch", "classes"), labels=["a", "b"]).labels == ("a", "b")
    with pytest.raises(ValueError, match="'y' has 3 classes and 2 labels"):
        TensorSpec("y", np.float32, ("batch", 3), labels=["a", "b"])
    for labels in ("ab", [1, 2]):
        with pytest.raises(TypeError, match="labels"):
            TensorSpec("y", np.float32, ("batch", 2), labels=labels)  # type: ignore[arg-type]  # the mistake under test


def test_only_inputs_can_be_optional() -> None:
    optional = TensorSpec("mask", np.bool_, ("batch",), optional=True)
    assert str(optional) == "mask: bool (batch,) optional"
    assert Signature([optional], []).check_inputs({}) == {}
    with pytest.raises(ValueError, match="the output 'mask' is optional; only inputs"):
        Signature([], [optional])


def test_a_message_names_what_must_be_there_and_the_first_of_what_may() -> None:
    weights = [TensorSpec(f"w{number}", np.float32, (4,), optional=True) for number in range(7)]
    with pytest.raises(InvalidInput, match=r"w4: float32 \(4,\) optional, x: float32 \(any, 4\) and 2 optional more$"):
        Signature([*weights, X], []).check_inputs({})


@pytest.mark.parametrize(
    ("optional", "name"), [((0, 0), None), ((0, 1), "a"), ((1, 0), "b"), ((1, 1), None), ((1,), "a"), ((), None)]
)
def test_a_value_without_a_name_is_for_the_only_input_that_must_be_there(
    optional: tuple[int, ...], name: str | None
) -> None:
    pairs = zip("ab", optional, strict=False)
    specs = {key: TensorSpec(key, np.float32, None, optional=bool(flag)) for key, flag in pairs}
    found = only_input(specs)
    assert (found.name if found else None) == name


def test_variants_keep_the_description_of_the_first() -> None:
    assert Signature.of_variants([Signature([X], [Y], description="adds"), Signature([X], [Y])]).description == "adds"


def test_an_array_that_fits_passes_uncopied() -> None:
    array = np.zeros((3, 4), np.float32)
    assert X.check(array) is array


def test_lists_are_converted_to_the_declared_dtype() -> None:
    assert X.check([[1, 2, 3, 4]]).dtype == np.float32


def test_an_array_of_the_other_byte_order_is_converted() -> None:
    array = X.check(np.arange(4, dtype=">f4").reshape(1, 4))
    assert array.dtype == np.float32
    assert array.tolist() == [[0, 1, 2, 3]]


def test_numpy_text_becomes_bytes() -> None:
    text = TensorSpec("t", object, (None,))
    assert text.check(np.array(["é", "b"])).tolist() == ["é".encode(), b"b"]
    assert text.check(np.array([b"a", b"bc"])).tolist() == [b"a", b"bc"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((3, 4)), "input 'x' has dtype float64; the model takes float32"),
        (np.zeros((3, 4), np.int32), "input 'x' has dtype int32; the model takes float32"),
        (np.zeros((3, 5), np.float32), r"input 'x' has shape \(3, 5\); the model takes \(any, 4\)"),
        (np.zeros(4, np.float32), r"input 'x' has shape \(4,\); the model takes \(any, 4\)"),
        (np.zeros((1, 1, 4), np.float32), r"input 'x' has shape \(1, 1, 4\)"),
        (np.float64(1), "has dtype float64"),
        (None, r"input 'x' is a NoneType; the model takes x: float32 \(any, 4\)"),
        ({}, "input 'x' is a dict"),
        ([[1, 2, 3, "4"]], "holds '4' at"),
    ],
)
def test_what_does_not_fit_the_spec_is_refused(value: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        X.check(value)


TEXT = np.dtypes.StringDType()
TEXT_OR_NONE = np.dtypes.StringDType(na_object=None)
TEXT_OR_NAN = np.dtypes.StringDType(na_object=np.nan)


@pytest.mark.parametrize(
    "value",
    [
        np.array(["é", "b"], object),
        np.array(["é", b"b"], object),
        np.array([np.str_("é"), np.bytes_(b"b")], object),
        np.array(["é", "b"], TEXT),
        np.array(["é", "b"], TEXT_OR_NONE),
        np.array(["é", "b"], ">U1"),
        ["é", np.str_("b")],
        [np.array("é"), np.array(b"b")],
        list(np.array(["é", "b"])),
        np.ma.asarray(["é", "b"]),
    ],
)
def test_text_in_whatever_array_becomes_utf_8(value: Any) -> None:
    array = TensorSpec("t", object, (2,)).check(value)
    assert array.dtype.kind == "O"
    assert array.tolist() == ["é".encode(), b"b"]
    assert all(type(one) is bytes for one in array)


@pytest.mark.parametrize("shape", [(), (0,), (2, 2), (0, 3)])
@pytest.mark.parametrize("dtype", [object, TEXT, "U1"])
def test_an_array_of_text_keeps_its_shape_and_is_not_changed(shape: tuple[int, ...], dtype: Any) -> None:
    given = np.full(shape, "a", dtype)
    array = TensorSpec("t", object, None).check(given)
    assert (array.shape, array.ravel().tolist()) == (shape, [b"a"] * array.size)
    assert all(isinstance(one, str) for one in given.ravel().tolist())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([["a", None]], object), r"holds a value of type NoneType at \[0, 1\]; .*in place of a missing value"),
        (np.array(["a", float("nan")], object), r"holds a value of type float at \[1\]; .*in place of a missing value"),
        (np.array(["a", None], TEXT_OR_NONE), r"holds a value of type NoneType at \[1\]"),
        (np.array(["a", np.nan], TEXT_OR_NAN), r"holds a value of type float at \[1\]; .*in place of a missing value"),
        (np.array([1, "a"], object), r"type int at \[0\]; the model takes bytes: give str\(...\) of it"),
        (np.array(1.5, object), r"holds a value of type float; the model takes bytes: give str\(...\) of it"),
        (np.array([["a"], ["b", "c"]], object), r"type list at \[0\]; .*the rows of a tensor have one length"),
        (np.array([bytearray(b"a"), None], object)[:1], r"type bytearray at \[0\]; .*give bytes\(...\) of it"),
        (np.array(["a", "\ud800"], object), r"text at \[1\] that is not valid Unicode"),
        (np.array(["\ud800"]), r"text at \[0\] that is not valid Unicode"),
        (["a", "\ud800"], r"text at \[1\] that is not valid Unicode"),
        (memoryview(b"abc"), "has dtype uint8; the model takes bytes: give text"),
        (np.array(["2020-01-01"], "M8[D]"), r"dtype datetime64\[D\]; the model takes bytes: a date .* as text"),
        (np.zeros(2, [("a", "f4")]), "dtype structured; .*each field as an array of its own"),
        (np.ma.masked_equal(["a", "b"], "b"), "has masked elements"),
    ],
)
def test_what_is_no_text_is_refused_with_its_type_its_place_and_what_to_do(value: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"input 't' .*{message}"):
        TensorSpec("t", object, None).check(value)


@pytest.mark.parametrize(
    ("came", "taken", "advice"),
    [
        ("float64", "float32", '.astype("float32")'),
        ("float32", "float64", '.astype("float64")'),
        ("float32", "float16", '.astype("float16")'),
        (np.longdouble, "float64", '.astype("float64")'),
        (ml_dtypes.bfloat16, "float32", '.astype("float32")'),
        ("float32", ml_dtypes.bfloat16, ".astype(ml_dtypes.bfloat16)"),
        ("float32", ml_dtypes.float8_e4m3fn, ".astype(ml_dtypes.float8_e4m3fn)"),
        ("int32", "float32", '.astype("float32")'),
        ("bool", "float32", '.astype("float32")'),
        ("float32", "complex64", '.astype("complex64")'),
        ("int32", "int64", '.astype("int64")'),
        (ml_dtypes.int4, "int64", '.astype("int64")'),
        ("int64", "int32", '.astype("int32"), where its values fit'),
        ("uint64", "int64", '.astype("int64"), where its values fit'),
        ("int64", ml_dtypes.int4, ".astype(ml_dtypes.int4), where its values fit"),
    ],
)
def test_another_dtype_is_refused_with_the_conversion_that_keeps_its_numbers(
    came: Any, taken: Any, advice: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        TensorSpec("x", taken, None).check(np.ones(2, came))
    came, taken = np.dtype(came), np.dtype(taken)
    assert str(refused.value) == f"input 'x' has dtype {came}; the model takes {taken}; convert it with {advice}"
    call = advice.partition(",")[0]
    assert eval(f"array{call}", {"array": np.ones(2, came), "ml_dtypes": ml_dtypes}).dtype == taken


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (np.ones(2, np.float32), "int64"),
        (np.ones(2, np.complex64), "float32"),
        (np.ones(2, np.int64), "bool"),
        (np.array(["1.5"]), "float32"),
        (np.array(["1.5"], TEXT), "float32"),
        (np.array(["1"], object), "int64"),
        (np.array([None], object), "float32"),
        (np.array([], object), "float32"),
        (np.zeros(1, "V4"), "float32"),
        (np.zeros(1, "M8[s]"), "int64"),
    ],
)
def test_no_conversion_is_advised_that_would_change_what_the_values_mean(value: Any, taken: str) -> None:
    with pytest.raises(InvalidInput, match=f"input 'x' has dtype .*; the model takes {taken}") as refused:
        TensorSpec("x", taken, None).check(value)
    assert "astype" not in str(refused.value)


def test_numbers_that_came_as_objects_are_refused_with_their_conversion() -> None:
    with pytest.raises(InvalidInput, match=r'dtype object; the model takes float32; .*.astype\("float32"'):
        TensorSpec("x", np.float32, None).check(np.array([1, 2.5], object))


def test_an_array_of_which_numpy_makes_none_is_invalid_input() -> None:
    class OnAnotherDevice:
        def __array__(self, *_: Any, **__: Any) -> Any:
            raise TypeError("copy it to the host first")

    with pytest.raises(InvalidInput, match=r"input 'x' is a OnAnotherDevice, .*: copy it to the host first"):
        X.check(OnAnotherDevice())


def test_any_rank_takes_every_shape() -> None:
    anything = TensorSpec("x", np.float32, None)
    assert anything.accepts_shape(())
    assert anything.check(np.zeros((1, 2, 3), np.float32)).shape == (1, 2, 3)


def test_inputs_come_back_in_declared_order() -> None:
    signature = Signature([X, Y], [])
    assert list(signature.check_inputs({"y": 1, "x": [[1, 2, 3, 4]]})) == ["x", "y"]


def test_a_missing_input_is_named_with_all_that_are_taken() -> None:
    with pytest.raises(
        InvalidInput, match=r"input 'y' is missing; the model takes x: float32 \(any, 4\), y: int64 \(\)"
    ):
        Signature([X, Y], []).check_inputs({"x": [[1, 2, 3, 4]]})


def test_an_unknown_input_is_named() -> None:
    with pytest.raises(InvalidInput, match="there is no input 'z'; the model takes y: int64"):
        Signature([Y], []).check_inputs({"y": 1, "z": 2})
    with pytest.raises(InvalidInput, match="the model takes nothing"):
        Signature([], [Y]).check_inputs({"z": 2})


def test_requested_outputs_keep_their_order() -> None:
    signature = Signature([], [X, Y])
    assert list(signature.check_outputs(None)) == ["x", "y"]
    assert list(signature.check_outputs(["y", "x"])) == ["y", "x"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["z"], "there is no output 'z'"),
        (["y", "y"], "requested twice"),
        ("y", r"outputs is a list of names, such as \['y'\], not the text 'y'"),
    ],
)
def test_outputs_that_cannot_be_returned_are_refused(names: list[str] | str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Signature([], [X, Y]).check_outputs(names)


@pytest.mark.parametrize("specs", [{"x": X}, ["x"], "x"])
def test_a_signature_is_of_specs_and_nothing_else(specs: Any) -> None:
    for given in ((specs, [Y]), ([X], specs)):
        with pytest.raises(TypeError, match="lists of TensorSpec, and 'x' is none"):
            Signature(*given)


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two tensors of one signature are called 'x'"):
        Signature([X, X], [])


def test_a_call_that_names_no_signature_gets_the_default() -> None:
    signatures = Signatures({"a": Signature([], []), "b": Signature([], [])}, default="b")
    assert signatures.resolve(None) == "b"
    assert signatures.resolve("a") == "a"
    assert list(signatures) == ["a", "b"]
    assert len(signatures) == 2
    assert "default='b'" in repr(signatures)


@pytest.mark.parametrize(
    ("names", "asked", "message"),
    [
        (["a", "b"], "c", "there is no signature 'c'; name one of: a, b"),
        (["a", "b"], None, "the model has no default signature; name one of: a, b"),
        ([], None, "it has no signatures at all"),
    ],
)
def test_a_signature_that_cannot_be_resolved_lists_those_there_are(
    names: list[str], asked: str | None, message: str
) -> None:
    signatures = Signatures({name: Signature([], []) for name in names}, default=None)
    with pytest.raises(UnknownSignature, match=message):
        signatures.resolve(asked)


def test_a_call_that_names_nothing_is_told_why_there_is_no_default() -> None:
    reason = "the file has two functions"
    signatures = Signatures({name: Signature([], []) for name in "ab"}, default=None, default_reason=reason)
    with pytest.raises(UnknownSignature, match="no default signature: the file has two functions; name one of: a, b"):
        signatures.resolve(None)
    with pytest.raises(UnknownSignature) as refused:
        signatures.resolve("c")
    assert reason not in str(refused.value)


def test_the_default_must_be_one_of_the_signatures() -> None:
    with pytest.raises(ValueError, match="'serving_default' is not among the signatures: a"):
        Signatures({"a": Signature([], [])})


@pytest.mark.parametrize(
    ("shape", "text"), [(None, "any rank"), ((), "()"), ((None, 4), "(any, 4)"), ((3,), "(3,)"), ((None,), "(any,)")]
)
def test_shapes_are_written_for_people(shape: tuple[int | None, ...] | None, text: str) -> None:
    assert shape_text(shape) == text


def test_the_size_of_texts_is_that_of_their_bytes() -> None:
    texts = np.array([[b"abc", b""], [b"d" * 5000, b"e"]], object)
    assert rough_size({"x": np.zeros((2, 3), np.float64), "t": texts, "none": np.zeros((0, 4), np.int8)}) == 48 + 5004


@pytest.mark.parametrize("count", [0, 1, 511, 512, 5000, 100_000])
def test_the_size_of_many_texts_may_be_an_estimate(count: int) -> None:
    texts = np.array([b"abcd"] * count, object)
    assert 4 * count + 24 <= rough_size({"t": texts, "x": np.zeros(3)}) <= 4 * count + 824
    assert 4 * count <= rough_size({"t": texts}) <= 4 * count + 800
    assert rough_size({"x": np.zeros(3)}) == 24


def typed(dtype: str) -> Signature:
    return Signature([TensorSpec("x", dtype, [None])], [TensorSpec("y", dtype, [None])])


EITHER = Signature.of_variants([typed("int32"), typed("float32"), typed("object")])


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.zeros(2, np.float32), "float32"),
        (np.zeros(2, np.int32), "int32"),
        ([1, 2], "int32"),
        ([1, 2.5], "float32"),
        ([2**40], "float32"),
        (["a"], "object"),
    ],
)
def test_what_a_call_brings_chooses_the_variant(value: Any, dtype: str) -> None:
    assert EITHER.inputs["x"].dtype == np.int32
    assert EITHER.variant_for({"x": value}) == typed(dtype)
    assert typed(dtype).variant_for({"x": value}) == typed(dtype)


def test_what_no_variant_takes_is_refused_with_all_that_they_take() -> None:
    with pytest.raises(InvalidInput) as refused:
        EITHER.variant_for({"x": np.zeros(2, np.complex64)})
    assert str(refused.value) == (
        "input 'x' has dtype complex64; the model takes int32; or x: float32 (any,); or x: bytes (any,)"
    )


def test_variants_have_the_same_names() -> None:
    other = Signature([TensorSpec("z", "int32", None)], [])
    with pytest.raises(ValueError, match="the same inputs and outputs by name"):
        Signature.of_variants([typed("int32"), other])

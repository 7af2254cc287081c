"""A model that refuses its input says why, in its author's words and no others."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlbuffet
from mlbuffet import InvalidInput, Model, PredictFailed, Runtimes
from mlbuffet_tensorflow._tensorflow import tf
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

v1 = tf.compat.v1
check = tf.debugging
Check = Callable[[Any], Any]

GENERIC = "the inputs do not hold what the model itself checks"
NEGATIVE = np.array([-1, 2], np.float32)


def said(text: Any, x: Any) -> Any:
    """With a number in its data, the check is within a branch, which takes the text from outside."""
    return check.Assert(tf.reduce_all(x > 0), [text, x])


NUMBERS: dict[str, tuple[Check, str]] = {
    "message": (lambda x: check.assert_non_negative(x, message="x must be >= 0"), "x must be >= 0"),
    "of two": (
        lambda x: (check.assert_less(x, 9.0, message="less"), check.assert_positive(x, message="above 0")),
        "above 0",
    ),
    "signs": (
        lambda x: check.assert_positive(x, message="in km/h, see https://a.b/c/d: \"fast\", 'x'\\\nand é\t\x01"),
        "in km/h, see https://a.b/c/d: \"fast\", 'x'\\\nand é\t\x01",
    ),
    "none": (check.assert_non_negative, ""),
    "empty": (lambda x: check.assert_non_negative(x, message=""), ""),
    "compared": (lambda x: check.assert_less(x, 1.0), ""),
    "equal": (lambda x: check.assert_equal(x, 1.0, message="all are one"), "all are one"),
    "near": (lambda x: check.assert_near(x, 1.0, message="nearly one"), "nearly one"),
    "rank": (lambda x: check.assert_rank(x, 2, message="a matrix"), "a matrix"),
    "ranks": (lambda x: check.assert_rank_in(x, [2, 3], message="2 or 3"), "2 or 3"),
    "shapes": (lambda x: check.assert_shapes([(x, ("N",)), (x[1:], ("N",))], message="as long"), "as long"),
    "data": (
        lambda x: check.Assert(tf.reduce_all(x > 0), ["got", x, "and want more than", [0.0]]),
        "got ... and want more than",
    ),
    "values alone": (lambda x: check.Assert(tf.reduce_all(x > 0), [x]), ""),
    "filled in": (
        lambda x: check.Assert(x[0] > 0, [tf.strings.format("{} numbers, at most {}", (tf.size(x), 1))]),
        "... numbers, at most ...",
    ),
    "from outside": (
        lambda x: said(tf.strings.join(["sum", tf.strings.as_string(x[0]), "is low"], " "), x),
        "sum ... is low",
    ),
    "in a loop": (
        lambda x: tf.while_loop(
            lambda i: i < 3,
            lambda i: (check.assert_less(i, 2, message="not thrice"), i + 1)[1:],
            [tf.cast(x[1], "int32")],
        ),
        "not thrice",
    ),
    "finite": (lambda x: check.assert_all_finite(x / 0.0, "no infinity / NaN"), "no infinity / NaN"),
    "secrets": (
        lambda x: check.assert_positive(x, message="/home/me/train.py, gs://b/c, C:\\a\\b.txt, x:0, 0x7fabcdef0123"),
        "..., ..., ..., ..., ...",
    ),
}
OTHERS: dict[str, tuple[Check, str]] = {
    "shape": (lambda x: tf.ensure_shape(x, [3]), "a tensor of shape [2] came of the inputs where the model takes [3]"),
    "index": (lambda x: tf.gather([1, 2], tf.cast(x, "int32")), "-1 is not in [0, 2)"),
    "division": (lambda x: 10 // tf.cast(x * 0, "int32"), "divides by an integer among the inputs that is zero"),
    "square": (lambda x: tf.linalg.inv(x[None]), "is not square"),
    "range": (lambda x: tf.range(x[1] + 5, 0, 1), "the start, limit and delta of a range"),
    "splits": (
        lambda x: tf.RaggedTensor.from_row_splits(x, tf.cast([0, x[1] + 4], "int64")).to_tensor(),
        "the row splits of a ragged tensor among the inputs do not fit its values",
    ),
    "indices": (lambda x: tf.gather_nd([1, 2], tf.cast(x, "int32")[:, None]), "[2] is none of a tensor of shape [2]"),
}
TEXTS: dict[str, tuple[Check, bytes, str]] = {
    "number": (tf.strings.to_number, b"assertion failed: [in order]", "not the number"),
    "bytes": (tf.strings.to_number, b"\xffsecret", "not the number"),
    "values": (
        lambda x: check.Assert(x == "a", ["in order", x, "please"]),
        b"my secret] [please",
        "in order ... please",
    ),
    "tensor": (lambda x: tf.io.parse_tensor(x, "float32"), b"abc", "not a serialized TensorProto"),
    "json": (tf.io.decode_json_example, b"abc", "not the JSON"),
    "raw": (lambda x: tf.io.decode_raw(x, "float32"), b"abc", "has 3 bytes, and the model takes a multiple of 4"),
    "csv": (lambda x: tf.io.decode_csv(x, [1.0])[0], b"abc", "field 0 of a line of CSV among the inputs is not float"),
    "columns": (lambda x: tf.io.decode_csv(x, [1.0])[0], b"1,2", "has 2 fields, and the model takes 1"),
    "sound": (lambda x: tf.audio.decode_wav(x)[0], b"RIFFabc", "a sound among the inputs cannot be decoded"),
    "gif": (tf.io.decode_gif, b"GIF89abc", "an image among the inputs cannot be decoded"),
    "encoding": (lambda x: tf.strings.unicode_decode(x, "UTF-8", "strict"), b"\xff", "not in the encoding"),
}


def example(**features: Any) -> bytes:
    message = tf.train.Example()
    for name, value in features.items():
        kind = {bytes: "bytes_list", float: "float_list", int: "int64_list"}[type(value[0])]
        getattr(message.features.feature[name], kind).value.extend(value)
    return bytes(message.SerializeToString())


def parsed(feature: Any) -> Callable[[Any], Any]:
    def call(inputs: Any) -> dict[str, Any]:
        value = tf.io.parse_example(inputs, {"a/b": feature})["a/b"]
        return {"y": value if isinstance(value, tf.Tensor) else value.values}

    return call


FIXED = tf.io.FixedLenFeature([2], tf.float32)
EXAMPLES: dict[str, tuple[Callable[[Any], Any], bytes, str]] = {
    "missing": (parsed(FIXED), example(b=[1.0]), "lacks the feature 'a/b', which the model needs as float"),
    "integers": (
        parsed(FIXED),
        example(**{"a/b": [1, 2]}),
        "the feature 'a/b' of the tf.Example 1 of the inputs came as int64, and the model takes float",
    ),
    "text": (
        parsed(tf.io.FixedLenFeature([2], tf.int64)),
        example(**{"a/b": [b"a", b"b"]}),
        "came as string, and the model takes int64",
    ),
    "few": (parsed(FIXED), example(**{"a/b": [1.0]}), "has 1 values, and the model takes float of the shape [2]"),
    "variable": (
        parsed(tf.io.VarLenFeature(tf.float32)),
        example(**{"a/b": [b"a"]}),
        "the feature 'a/b' of the tf.Example 1 of the inputs came as string, and the model takes float",
    ),
    "ragged": (
        parsed(tf.io.RaggedFeature(tf.int64)),
        example(**{"a/b": [1.0]}),
        "came as float, and the model takes int64",
    ),
    "no message": (parsed(FIXED), b"\1secret", "a serialized tf.Example among the inputs cannot be parsed"),
    "no kind of feature": (
        parsed(FIXED),
        b"\n\x0d\n\x0b\n\x03a/b\x12\x04\x22\x02ab",  # a field that no Feature has
        "a serialized tf.Example among the inputs cannot be parsed",
    ),
    "no text": (parsed(FIXED), b"\xffsecret", "a serialized tf.Example among the inputs cannot be parsed"),
}
GOOD = {"integers": example(**{"a/b": [1.0, 2.0]}), "variable": b"", "ragged": b"", "text": example(**{"a/b": [1, 2]})}


def checked(test: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function that gives what ``test`` computes, or its input where it passes."""

    def call(x: Any) -> dict[str, Any]:
        made = tf.nest.flatten(test(x), expand_composites=True)
        with tf.control_dependencies([each for each in made if isinstance(each, tf.Operation)]):
            tensors = [each for each in made if isinstance(each, tf.Tensor)]
            return {f"y{number}": tf.identity(tensor) for number, tensor in enumerate([*tensors, x])}

    return call


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """One with a signature for each check."""
    of_numbers = {name: test for name, (test, _) in (NUMBERS | OTHERS).items()}
    of_texts = {name: checked(test) for name, (test, _, _) in TEXTS.items()}
    signatures = {
        **{f"n {name}": (checked(test), tf.TensorSpec(None, name="x")) for name, test in of_numbers.items()},
        **{f"t {name}": (call, tf.TensorSpec([], tf.string, name="x")) for name, call in of_texts.items()},
        **{f"e {name}": (call, tf.TensorSpec([None], tf.string, name="x")) for name, (call, _, _) in EXAMPLES.items()},
    }
    module = tf.Module()
    module.functions = [
        tf.function(call, input_signature=[spec], autograph=False) for call, spec in signatures.values()
    ]
    path = tmp_path_factory.mktemp("checks") / "model"
    tf.saved_model.save(module, str(path), signatures=dict(zip(signatures, module.functions, strict=True)))
    with loaded(path) as model:
        yield model


def loaded(path: Path) -> Model:
    runtimes = Runtimes()
    runtimes.register(TensorFlowRuntime(), name="tensorflow")
    return mlbuffet.load(path, runtimes=runtimes)


def refusal(model: Model, signature: str | None, x: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        model.predict({"x": x}, signature=signature)
    for internal in ("{{node", "/Assert", "Condition", ":0", "stack trace", "secret", "0x", "/home"):
        assert internal not in refused.value.public
    assert "{{node" in str(refused.value), "the owner of the machine sees the whole cause"
    return refused.value


@pytest.mark.parametrize("name", NUMBERS)
def test_a_check_that_fails_says_what_its_author_wrote(model: Model, name: str) -> None:
    words = NUMBERS[name][1]
    assert refusal(model, f"n {name}", NEGATIVE).public == (f"{GENERIC}: {words}" if words else GENERIC)


@pytest.mark.parametrize("name", OTHERS)
def test_numbers_that_lead_out_of_bounds_are_told_with_the_bounds(model: Model, name: str) -> None:
    assert OTHERS[name][1] in refusal(model, f"n {name}", NEGATIVE).public


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_cannot_be_read_is_told_and_not_repeated(model: Model, name: str) -> None:
    _, sent, problem = TEXTS[name]
    assert problem in refusal(model, f"t {name}", sent).public


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_feature_that_does_not_fit_is_told_by_name_and_with_its_types(model: Model, name: str) -> None:
    _, sent, problem = EXAMPLES[name]
    examples = np.array([GOOD.get(name, sent), sent], object)
    assert problem in refusal(model, f"e {name}", examples).public


def test_the_length_of_what_was_sent_does_not_hold_up_the_answer(model: Model) -> None:
    sent = np.array([b"\1" + b"Key: " * 200_000], object)  # a search that tries each to the end takes hours
    assert refusal(model, "e no message", sent).public == "a serialized tf.Example among the inputs cannot be parsed"


def test_a_check_of_the_first_tensorflow_says_what_its_author_wrote(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        tests = [v1.assert_positive(x, message="above 0"), v1.Assert(tf.reduce_all(x < 9), ["below 9, and not", x])]
        with tf.control_dependencies(tests):
            y = tf.identity(x)
        v1.saved_model.simple_save(session, str(tmp_path / "model"), {"x": x}, {"y": y})
    with loaded(tmp_path / "model") as model:
        assert model.predict({"x": [1.0]})["y"].tolist() == [1]
        assert refusal(model, None, NEGATIVE).public == f"{GENERIC}: above 0"
        assert refusal(model, None, -NEGATIVE - 9).public in (f"{GENERIC}: above 0", f"{GENERIC}: below 9, and not")
        assert refusal(model, None, NEGATIVE + 11).public == f"{GENERIC}: below 9, and not"


def test_a_file_that_a_model_cannot_read_is_not_told_to_a_client(tmp_path: Path) -> None:
    read = tf.function(
        lambda x: {"y": tf.io.read_file(x)}, input_signature=[tf.TensorSpec([], tf.string)], autograph=False
    )
    module = tf.Module()
    module.read = read
    tf.saved_model.save(module, str(tmp_path / "model"))
    for name in (b"/secret/file", b"/secret/\xff"):
        with loaded(tmp_path / "model") as model, pytest.raises(PredictFailed) as failed:
            model.predict({"x": name})
        assert f"{name.decode(errors='backslashreplace')}; No such file" in str(failed.value)
        assert "/secret" not in failed.value.public

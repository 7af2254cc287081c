"""Functions of a file without signatures: what named arrays cannot express is left out with its reason."""

# mypy: allow-untyped-calls, allow-subclassing-any, disable-error-code="misc"

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlbuffet
from mlbuffet import InvalidOptions, LoadFailed, Model, Runtimes
from mlbuffet_tensorflow._tensorflow import saved_model_pb2, tf
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

FLOATS = tf.TensorSpec([None], tf.float32)
RAGGED = tf.RaggedTensorSpec([None, None], tf.float32)
NO_ARRAY = "has a type that no array has"


class Pair(tf.experimental.ExtensionType):
    """A type of the program that saved the model."""

    __name__ = "mlbuffet.Pair"
    left: tf.Tensor
    right: tf.Tensor


INPUTS = {
    "ragged": (RAGGED, "is no dense tensor but RaggedTensor"),
    "sparse": (tf.SparseTensorSpec([None, 3]), "is no dense tensor but SparseTensor"),
    "dataset": (tf.data.DatasetSpec(FLOATS), "is no dense tensor but Dataset"),
    "slices": (tf.IndexedSlicesSpec([None, 3]), "is no dense tensor but IndexedSlices"),
    "optional": (tf.OptionalSpec(FLOATS), "is no dense tensor but Optional"),
    "pair": (Pair.Spec(FLOATS, FLOATS), "is no dense tensor but Pair"),
    "nested": ({"a": [FLOATS, RAGGED], "b": (FLOATS,)}, "is no dense tensor but RaggedTensor"),
    "resource": (tf.TensorSpec([], tf.resource), NO_ARRAY),
    "variant": (tf.TensorSpec([], tf.variant), NO_ARRAY),
    "quantized": (tf.TensorSpec([], tf.qint8), NO_ARRAY),
}
OUTPUTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "to_ragged": (lambda x: tf.RaggedTensor.from_row_starts(x, [0]), "'output_0' is no dense tensor but RaggedTensor"),
    "to_sparse": (lambda x: {"y": tf.sparse.from_dense(x)}, "'y' is no dense tensor but SparseTensor"),
    "to_dataset": (tf.data.Dataset.from_tensors, "'output_0' is no dense tensor but Dataset"),
    "to_optional": (tf.experimental.Optional.from_value, "'output_0' is no dense tensor but Optional"),
    "to_pair": (lambda x: (x, (Pair(x, x),)), "'output_1' is no dense tensor but Pair"),
    "to_resource": (lambda x: tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[]), f"'output_0' {NO_ARRAY}"),
    "to_quantized": (lambda x: tf.quantization.quantize(x, 0, 1, tf.quint8).output, f"'output_0' {NO_ARRAY}"),
    "to_none": (lambda x: {"a": None, "b": x}, "'a' is None, no tensor"),
    "to_nothing": (lambda x: {}, "it has no outputs"),
}
REASONS = {
    **{name: f"'q' {reason}" for name, (_, reason) in INPUTS.items()},
    "keyword": "'q' is no dense tensor but RaggedTensor",
    **{name: reason for name, (_, reason) in OUTPUTS.items()},
}


def function(call: Callable[..., Any], *specs: Any) -> Any:
    return tf.function(call, input_signature=specs or None, autograph=False)


def inexpressible() -> dict[str, Any]:
    """Functions that arrays cannot call, or whose results they cannot hold."""
    functions = {name: function(lambda q: tf.constant(1.0), spec) for name, (spec, _) in INPUTS.items()}
    functions |= {name: function(call, FLOATS) for name, (call, _) in OUTPUTS.items()}
    functions["keyword"] = function(lambda x, *, q: x)
    functions["keyword"].get_concrete_function(FLOATS, q=RAGGED)
    return functions


def save(path: Path, **functions: Any) -> Path:
    module = tf.Module()
    for name, each in functions.items():
        setattr(module, name, each)
    tf.saved_model.save(module, str(path))
    return path


@pytest.fixture(scope="module")
def load() -> Callable[..., Model]:
    runtimes = Runtimes()
    runtimes.register(TensorFlowRuntime(), name="tensorflow")
    return lambda path, **options: mlbuffet.load(path, runtimes=runtimes, options=options)


def assert_each_is_named(text: str, names: Iterable[str]) -> None:
    for name in names:
        assert f"'{name}': {REASONS[name]}" in text


def test_functions_that_arrays_cannot_express_are_left_out_with_their_reasons(
    load: Callable[[Path], Model], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    doubled = function(lambda x: {"y": x * 2}, FLOATS)
    two = function(lambda d, z: d["a"] + d["b"] * z, {"b": FLOATS, "a": FLOATS}, FLOATS)
    with load(save(tmp_path / "model", **inexpressible(), doubled=doubled, two=two)) as model:
        assert list(model.signatures) == ["doubled", "two"]
        assert model.signatures.default is None
        one = np.ones(2, np.float32)
        assert model.predict({"x": one}, signature="doubled")["y"].tolist() == [2, 2]
        added = model.predict({"d_a": one, "d_b": one, "z": one * 4}, signature="two")
        assert added["output_0"].tolist() == [5, 5]
    assert "some functions cannot be served" in caplog.text
    assert_each_is_named(caplog.text, REASONS)


def test_a_file_of_nothing_else_is_refused_with_the_reason_of_each(
    load: Callable[[Path], Model], tmp_path: Path
) -> None:
    with pytest.raises(LoadFailed, match="none of its functions can be served") as refused:
        load(save(tmp_path / "model", **inexpressible()))
    assert_each_is_named(refused.value.public, REASONS)


def test_a_function_that_is_left_out_has_no_stand_in_where_it_would_be_the_default(
    load: Callable[[Path], Model], tmp_path: Path
) -> None:
    functions = {"__call__": function(lambda q: q.values, RAGGED), "other": function(lambda q: q.values, RAGGED)}
    with load(save(tmp_path / "model", **functions, embed=function(lambda x: x, FLOATS))) as model:
        assert list(model.signatures) == ["embed"]
        assert model.signatures.default is None
        assert "'__call__' cannot be served: 'q' is no dense tensor" in model.signatures.default_reason


def test_the_last_function_that_can_be_served_says_that_it_is(load: Callable[[Path], Model], tmp_path: Path) -> None:
    functions = {name: function(lambda q: q.values, RAGGED) for name in ("one", "two")}
    with load(save(tmp_path / "model", **functions, embed=function(lambda x: x, FLOATS))) as model:
        assert model.signatures.default == "embed"
        assert model.signatures.default_reason.endswith("its only function that can be served")


def test_the_traces_for_tensors_are_served_where_others_of_the_function_are_not(
    load: Callable[[Path], Model], tmp_path: Path
) -> None:
    total = function(lambda x: {"y": tf.reduce_sum(x)})
    for value in (tf.ragged.constant([[1.0], [2.0, 3.0]]), tf.ones(3)):
        total(value)
    with load(save(tmp_path / "model", total=total)) as model:
        assert list(model.signatures) == ["total"]
        assert model.predict({"x": np.ones(3, np.float32)})["y"] == 3


@pytest.mark.filterwarnings("ignore:The type '.*' has not been registered:UserWarning")
def test_a_type_that_is_not_known_here_is_left_out_too(load: Callable[[Path], Model], tmp_path: Path) -> None:
    spec = Pair.Spec(FLOATS, FLOATS)
    pair = {name: function(lambda q: q.left, spec) for name in ("one", "two")}
    path = save(tmp_path / "model", **pair, embed=function(lambda x: x, FLOATS))
    content = (path / "saved_model.pb").read_bytes()
    (path / "saved_model.pb").write_bytes(content.replace(b"mlbuffet.Pair", b"mlbuffet.Else"))
    with load(path) as model:
        assert list(model.signatures) == ["embed"]


def test_a_registered_type_whose_package_is_not_imported_is_named(
    load: Callable[[Path], Model], tmp_path: Path
) -> None:
    path = save(tmp_path / "model", **{name: function(lambda q: q.values, RAGGED) for name in ("one", "two")})
    content = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for concrete in content.meta_graphs[0].object_graph_def.concrete_functions.values():
        (arguments, _) = concrete.canonicalized_input_signature.tuple_value.values
        spec = arguments.tuple_value.values[0].type_spec_value
        spec.type_spec_class, spec.type_spec_class_name = spec.REGISTERED_TYPE_SPEC, "a_package.Distribution"
    (path / "saved_model.pb").write_bytes(content.SerializeToString())
    with pytest.raises(LoadFailed, match=r"a 'a_package\.Distribution', a type of a Python package") as refused:
        load(path)
    assert "save the model with signatures={...}" in refused.value.public


@pytest.mark.parametrize("name", [*INPUTS, "to_ragged", "to_sparse", "to_dataset", "to_optional", "to_resource"])
def test_a_signature_of_such_a_function_harms_no_other(
    load: Callable[[Path], Model], tmp_path: Path, name: str
) -> None:
    """TensorFlow makes signatures of the parts of an input, some of which are plain tensors, but not of an output."""
    signatures = {"other": inexpressible()[name], "embed": function(lambda x: {"y": x + 1}, FLOATS)}
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"), signatures=signatures)
    with load(tmp_path / "model") as model:
        assert ("other" in model.signatures) == (name in ("ragged", "sparse", "slices", "pair", "nested"))
        assert model.predict({"x": np.ones(1, np.float32)}, signature="embed")["y"].tolist() == [2]


def test_functions_that_were_never_traced_are_named_and_take_nothing_from_the_others(
    load: Callable[..., Model], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    untraced = {name: tf.function(lambda x: x, autograph=False) for name in ("__call__", "extra")}
    traced = {name: function(lambda x: x, FLOATS) for name in ("embed", "other")}
    path = save(tmp_path / "model", **untraced, **traced)
    with load(path, signature="embed") as model:
        assert list(model.signatures) == ["embed", "other"]
    assert "some functions cannot be served: '__call__': it was never called" in caplog.text
    assert "'extra': it was never called, or its arguments could not be saved" in caplog.text
    for name in untraced:
        with pytest.raises(InvalidOptions, match=f"the signature '{name}' cannot be served: it was never called"):
            load(path, signature=name)

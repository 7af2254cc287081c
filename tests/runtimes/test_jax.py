"""The JAX runtime answers what JAX itself answers, to the last bit, and keeps damaged files from ending the process."""

import json
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

jax = pytest.importorskip("jax", reason="`make runtimes` installs it")
jax.config.update("jax_num_cpu_devices", 2)

import jax.numpy as jnp
from jax import export

import mlbuffet
from mlbuffet import InvalidInput, InvalidOptions, LoadFailed
from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_jax.plugin import JaxRuntime

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(4, 3)).astype(np.float32)
X = RANDOM.normal(size=(5, 4)).astype(np.float32)
ODD = np.array([[np.nan, np.inf, -np.inf, -0.0], [1e-45, 3e38, -1.0, 0.0]], np.float32)
WIDE = np.array([2**53 + 1, -(2**63), 2**63 - 1])


def classify(x: Any) -> Any:
    return {"scores": jax.nn.softmax(x @ WEIGHTS), "label": (x @ WEIGHTS).argmax(axis=1)}


def specs(sizes: str, *arrays: NDArray[Any]) -> list[Any]:
    """The arguments to export for: ``sizes`` are their shapes in JAX's own writing, one after the other."""
    scope = export.SymbolicScope()
    shapes = [export.symbolic_shape(text, scope=scope) for text in sizes.split(";")]
    return [jax.ShapeDtypeStruct(shape, array.dtype) for shape, array in zip(shapes, arrays, strict=True)]


def exported(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    with jax.enable_x64(True):  # noqa: FBT003
        return export.export(jax.jit(function), platforms=named.pop("platforms", None))(*arguments, **named)


def save(path: Path, function: Callable[..., Any], *arguments: Any, **named: Any) -> Path:
    path.write_bytes(exported(function, *arguments, **named).serialize())
    return path


def network(x: Any) -> Any:
    kernel = jnp.asarray(RANDOM.normal(size=(3, 3, 1, 4)), jnp.float32)
    convolved = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.log_softmax(jax.nn.relu(convolved).mean(axis=(1, 2)))


def recurrent(x: Any, state: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        carry = jnp.tanh(carry + row @ WEIGHTS)
        return carry, carry

    last, states = jax.lax.scan(step, state, jnp.swapaxes(x, 0, 1))
    return states, last


def sampled(key: Any, x: Any) -> Any:
    return x + jax.random.normal(jax.random.wrap_key_data(key), x.shape, x.dtype)


IMAGE = RANDOM.normal(size=(2, 8, 8, 1)).astype(np.float32)
MANY = RANDOM.normal(size=(3, 10_000)).astype(np.float32)
STEPS = RANDOM.normal(size=(2, 6, 4)).astype(np.float32)
MODELS: dict[str, tuple[Callable[..., Any], str, tuple[NDArray[Any], ...]]] = {
    "a classifier": (classify, "batch, 4", (X,)),
    "one row": (classify, "batch, 4", (X[:1],)),
    "a size that is fixed": (classify, "5, 4", (X,)),
    "NaN, infinities and denormals": (lambda x: (x * 2, jnp.exp(x), x.max()), "batch, 4", (ODD,)),
    "wide integers": (lambda x: {"same": x, "less": x - 1, "half": x // 2}, "n", (WIDE,)),
    "unsigned wide integers": (lambda x: x + 1, "n", (np.array([2**64 - 2, 0], np.uint64),)),
    "64-bit floats": (lambda x: jnp.linalg.norm(x, axis=0), "n, 4", (X.astype(np.float64) * 1e200,)),
    "complex numbers": (jnp.fft.fft, "n, 4", (X.astype(np.complex64),)),
    "10 000 features": (lambda x: x @ jnp.cos(jnp.arange(10_000, dtype=jnp.float32)), "batch, 10000", (MANY,)),
    "a convolution": (network, "batch, 8, 8, 1", (IMAGE,)),
    "a recurrent network": (recurrent, "batch, time, 4; batch, 3", (STEPS, np.zeros((2, 3), np.float32))),
    "a sorted top": (lambda x: jax.lax.top_k(x, 2), "batch, 4", (X,)),
    "booleans": (lambda x, y: (x & y, ~x), "n; n", (X[:, 0] > 0, X[:, 1] > 0)),
    "scalars": (lambda x, y: x**y, ";", (np.array(2.0, np.float32), np.array(3, np.int32))),
    "random numbers": (sampled, "2; n", (np.array([1, 2], np.uint32), X[0])),
    "a cholesky decomposition": (jnp.linalg.cholesky, "4, 4", (X.T @ X,)),
    "an expression as a size": (lambda x, y: (x + y[::2], jnp.concatenate([x, y])), "n; 2*n", (X[0], np.tile(X[0], 2))),
    **{
        f"the dtype {name}": (lambda x: jnp.flip(x), "n", (np.arange(6).astype(name),))
        for name in (jnp.bfloat16, jnp.float16, jnp.int4, jnp.uint4, jnp.float8_e4m3fn, jnp.float8_e5m2, jnp.int8)
    },
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_what_jax_answers(tmp_path: Path, name: str) -> None:
    function, sizes, arrays = MODELS[name]
    save(tmp_path / "m.jax", function, *specs(sizes, *arrays))
    with jax.enable_x64(True):  # noqa: FBT003
        own = export.deserialize((tmp_path / "m.jax").read_bytes())
        expected = jax.tree.leaves(jax.jit(own.call)(*arrays))
    with mlbuffet.load(tmp_path / "m.jax") as model:
        inputs = model.signatures["serving_default"].inputs
        answer = model.predict(dict(zip(inputs, arrays, strict=True)))
    assert len(answer) == len(expected)
    for array, own_array in zip(answer.values(), expected, strict=True):
        assert array.dtype == own_array.dtype
        assert array.shape == own_array.shape
        assert array.tobytes() == np.asarray(own_array).tobytes()


def many(город: Any, batch: Any, *rest: Any, κ: Any) -> Any:
    return {"sum": город + batch["ids"], "日本": [batch["more"][0], rest[0]], "k": κ["deep"]["down"]}


ONE = np.ones(2, np.float32)
NAMES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], list[str], list[str]]] = {
    "arguments": (lambda x, mask: x * mask, (ONE, ONE), {}, ["x", "mask"], ["output_0"]),
    "a dict alone": (lambda batch: batch["b"], ({"b": ONE, "a": {"c": ONE}},), {}, ["a_c", "b"], ["output_0"]),
    "a list alone": (lambda xs: (xs[1], xs[0]), ([ONE, ONE],), {}, ["xs_0", "xs_1"], ["output_0", "output_1"]),
    "many": (
        many,
        (ONE, {"ids": ONE, "more": (ONE,)}, ONE),
        {"κ": {"deep": {"down": ONE}}},
        ["город", "batch_ids", "batch_more_0", "rest_0", "κ_deep_down"],
        ["k", "sum", "日本_0", "日本_1"],
    ),
    "nothing": (lambda: jnp.ones(2), (), {}, [], ["output_0"]),
    "nested results": (
        lambda x: ({"a": x}, [x, (x,)]),
        (ONE,),
        {},
        ["x"],
        ["output_0_a", "output_1_0", "output_1_1_0"],
    ),
}


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("what", NAMES)
def test_names_are_those_of_arguments_and_results(tmp_path: Path, what: str, *, free: bool) -> None:
    function, arguments, named, inputs, outputs = NAMES[what]
    if free:
        (size,) = export.symbolic_shape("n")
        arguments, named = jax.tree.map(lambda array: jax.ShapeDtypeStruct((size,), array.dtype), (arguments, named))
    save(tmp_path / "m.jax", function, *arguments, platforms=["cpu", "cuda"] if free else ["cpu"], **named)
    with mlbuffet.load(tmp_path / "m.jax") as model:
        (signature,) = model.signatures.values()
        assert (list(signature.inputs), list(signature.outputs)) == (inputs, outputs)
        assert list(model.predict(dict.fromkeys(inputs, ONE))) == outputs


def test_an_argument_that_is_not_used_is_named_by_its_place(tmp_path: Path) -> None:
    save(tmp_path / "m.jax", lambda flag, x: x + 1, True, ONE)  # noqa: FBT003
    with mlbuffet.load(tmp_path / "m.jax") as model:
        assert list(model.signatures["serving_default"].inputs) == ["input_0", "x"]
        assert np.array_equal(model.predict({"input_0": False, "x": ONE})["output_0"], ONE + 1)


def test_symbolic_dimensions_are_shown_by_name_and_expressions_in_the_description(tmp_path: Path) -> None:
    x, y = np.ones((2, 4), np.float32), np.ones(4, np.float32)
    save(tmp_path / "m.jax", lambda x, y: (x, y[1:]), *specs("b, 4; 2*b", x, y))
    with mlbuffet.load(tmp_path / "m.jax") as model:
        (signature,) = model.signatures.values()
        assert [spec.shape for spec in signature.inputs.values()] == [("b", 4), (None,)]
        assert [spec.shape for spec in signature.outputs.values()] == [("b", 4), (None,)]
        assert signature.inputs["y"].description == "its shape is (2*b)"
        for rows in (x[:0], x[:1]):
            with pytest.raises(InvalidInput, match=r"takes x \(b, 4\), y \(2\*b,\) with sizes from 1") as told:
                model.predict({"x": rows, "y": y})
            assert "http" not in told.value.public


def test_the_sizes_that_were_called_last_stay_compiled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "m.jax", classify, *specs("batch, 4", X))
    options = {"max_compiled": 1, "compile_sizes": [{"batch": 1}, {"batch": 2}]}
    with mlbuffet.load(tmp_path / "m.jax", options=options) as model, jax.log_compiles():
        for rows, compiled in ((1, 0), (2, 0), (1, 0), (3, 1), (3, 1), (1, 1), (2, 2)):
            model.predict({"x": X[:rows]})
            assert sum(message.startswith("Finished XLA compilation") for message in caplog.messages) == compiled


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"compile_sizes": [{"b": 1}]}, "compile_sizes has b; the symbolic dimensions are batch"),
        ({"compile_sizes": [{"batch": 0}]}, "compile_sizes"),
        ({"max_compiled": 0}, "max_compiled"),
        ({"device": "gpu:7"}, "there is no device 'gpu:7'; here are cpu:0"),
        ({"device": "cpu:99"}, "there is no device 'cpu:99'; here are cpu:0"),
        ({"device": "cpu:x"}, "device"),
        ({"devices": 1}, "there is no option 'devices'"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    save(tmp_path / "m.jax", classify, *specs("batch, 4", X))
    with pytest.raises(InvalidOptions, match=problem):
        mlbuffet.load(tmp_path / "m.jax", options=options)


def test_a_device_that_it_was_not_exported_for_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "m.jax", lambda x: x, X, platforms=["tpu"])
    with pytest.raises(InvalidOptions, match="it was exported for tpu, and cannot run on cpu"):
        mlbuffet.load(tmp_path / "m.jax", options={"device": "cpu"})


def test_a_second_device_can_be_chosen(tmp_path: Path) -> None:
    save(tmp_path / "m.jax", classify, *specs("batch, 4", X))
    with mlbuffet.load(tmp_path / "m.jax", options={"device": "cpu:1"}) as model:
        assert np.array_equal(model.predict({"x": X})["scores"], jax.jit(classify)(X)["scores"])


Pair = namedtuple("Pair", "x y")
export.register_namedtuple_serialization(Pair, serialized_name="tests.Pair")


def of_a_class(path: Path) -> Path:
    save(path, lambda x: {"pair": Pair(x, x)}, X)
    path.write_bytes(path.read_bytes().replace(b"tests.Pair", b"tests.Rare"))
    return path


def for_two_devices(path: Path) -> Path:
    mesh = jax.sharding.Mesh(np.array(jax.devices()), "a")
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("a"))
    path.write_bytes(export.export(jax.jit(lambda x: x + 1, in_shardings=rows))(X[:4]).serialize())
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (of_a_class, "objects of a class; export a function of dicts"),
        (for_two_devices, "exported for 2 devices at once"),
        (lambda path: save(path, lambda x: x, X, platforms=["tpu"]), "exported for tpu, and here are cpu:0"),
        (lambda path: save(path, lambda key: jax.random.bits(key), jax.random.key(0)), "'key' is a key of jax.random"),
        (lambda path: path.write_bytes(exported(classify, X).mlir_module_serialized), "the StableHLO module alone"),
        (lambda path: path.write_bytes(b""), "empty, cut short or damaged"),
        (lambda path: (path.mkdir(), (path / "manifest.ocdbt").touch()), "a checkpoint of Orbax"),
    ],
)
def test_what_cannot_be_served_is_told(tmp_path: Path, make: Callable[[Path], Any], reason: str) -> None:
    make(tmp_path / "m.jax")
    with pytest.raises(LoadFailed, match=reason) as told:
        mlbuffet.load(tmp_path / "m.jax")
    assert str(tmp_path) not in told.value.public


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    content = exported(classify, X).serialize()
    for name in ("model", "m.bin", "m.JAX", "m.exported"):
        (tmp_path / name).write_bytes(content)
        assert JaxRuntime().accepts(tmp_path / name) is True
    for other in (b"", b"\0" * 64, b"\xff" * 64, content[:30], b"ML\xefR", b"{}"):
        (tmp_path / "other").write_bytes(other)
        assert JaxRuntime().accepts(tmp_path / "other") is False
        assert JaxRuntime().explain(tmp_path / "other") is None


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = exported(recurrent, *specs("b, t, 4; b, 3", STEPS, X)).serialize()
    for length in range(0, len(content), 257):
        (tmp_path / "m.jax").write_bytes(content[:length])
        with pytest.raises(LoadFailed, match="cut short or damaged"):
            mlbuffet.load(tmp_path / "m.jax", runtime="jax")
    assert capfd.readouterr().err == ""


def test_bytes_that_changed_are_refused_or_leave_a_model(tmp_path: Path) -> None:
    content = exported(classify, X).serialize()
    for position in range(0, len(content), 331):
        (tmp_path / "m.jax").write_bytes(
            content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :]
        )
        try:
            mlbuffet.load(tmp_path / "m.jax", runtime="jax").close()
        except LoadFailed as error:
            assert error.reason != "the runtime refused it", error.detail


def test_one_file_is_served_over_http_and_by_the_command_line(
    tmp_path: Path, serve: Any, installed: mlbuffet.Runtimes
) -> None:
    save(tmp_path / "iris.jax", classify, *specs("batch, 4", X))
    scores = np.asarray(jax.jit(classify)(X)["scores"])
    given = {"name": "x", "shape": [5, 4], "datatype": "FP32", "data": X.ravel().tolist()}
    with serve(tmp_path, runtimes=installed) as client:
        answer = client.post("/v2/models/iris/infer", json={"inputs": [given]}).json()
        outputs = {output["name"]: np.array(output["data"], np.float32) for output in answer["outputs"]}
        assert np.array_equal(outputs["scores"], scores.ravel())
        answer = client.post("/v1/models/iris:predict", json={"instances": X.tolist()}).json()
        assert np.array_equal(np.array([row["scores"] for row in answer["predictions"]], np.float32), scores)
        assert client.post("/v1/models/iris:predict", json={"instances": [[1.0]]}).status_code == 400
    (tmp_path / "in.json").write_text(json.dumps({"x": X.tolist()}))
    command = ["-m", "mlbuffet", "predict", str(tmp_path / "iris.jax"), "--inputs", str(tmp_path / "in.json")]
    ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert np.array_equal(np.array(json.loads(ran.stdout)["scores"], np.float32), scores)


def test_an_input_that_the_function_may_overwrite_stays_as_it_is(tmp_path: Path) -> None:
    function = jax.jit(lambda state, x: {"state": state + x, "same": x}, donate_argnames="state")
    (tmp_path / "m.jax").write_bytes(export.export(function)(*specs("n, 4; n, 4", MANY, MANY)).serialize())
    state, x = X.copy(), X.copy()
    with mlbuffet.load(tmp_path / "m.jax") as model:
        answer = model.predict({"state": state, "x": x})
    assert np.array_equal(answer["state"], X + X)
    assert np.array_equal(state, X)
    assert not np.shares_memory(answer["same"], x)


class TestJax(RuntimeConformance):
    """With symbolic dimensions."""

    leak_rounds = 5

    @pytest.fixture
    def plugin(self) -> JaxRuntime:
        return JaxRuntime()

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        path = save(tmp_path / "m.jax", classify, *specs("batch, 4", X))
        return Artifact(path, {"x": X}, {name: np.asarray(value) for name, value in jax.jit(classify)(X).items()})


class TestJaxWithFixedSizes(TestJax):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        path = save(tmp_path / "m.bin", lambda x, i: (x * 2, i + 1), X.astype(np.float64), WIDE)
        outputs = {"output_0": X.astype(np.float64) * 2, "output_1": WIDE + 1}
        return Artifact(path, {"x": X.astype(np.float64), "i": WIDE}, outputs, options={"device": "cpu"})

"""Which artifacts the ONNX runtime accepts, loads and refuses, and with which options."""

import gc
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

import mlbuffet
from mlbuffet import InvalidOptions, LoadFailed
from mlbuffet_onnx._artifact import begins_as_model
from mlbuffet_onnx._options import Options
from mlbuffet_onnx._session import create_session

value = helper.make_tensor_value_info
X = value("x", TensorProto.FLOAT, ["n"])
Y = value("y", TensorProto.FLOAT, ["n"])
NEG = helper.make_node("Neg", ["x"], ["y"])
TENSOR = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
MAP = helper.make_map_type_proto(TensorProto.STRING, TENSOR)


def proto(
    nodes: Sequence[onnx.NodeProto] = (NEG,),
    inputs: Sequence[onnx.ValueInfoProto] = (X,),
    outputs: Sequence[onnx.ValueInfoProto] = (Y,),
    initializers: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = 17,
    ir_version: int = 8,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, producer_name="a test")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def to(name: str = "saved.onnx", content: bytes | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(proto().SerializeToString() if content is None else content)
        return path

    return to


@pytest.fixture
def runtime() -> mlbuffet.Runtime:
    runtimes = mlbuffet.Runtimes()
    runtimes.discover()
    return runtimes["onnx"]


@pytest.mark.parametrize("name", ["a.onnx", "A.ONNX", "v1.2.onnx"])
def test_a_file_is_accepted_by_its_suffix(runtime: Any, write: Any, name: str) -> None:
    assert runtime.accepts(write(name))


@pytest.mark.parametrize(
    ("names", "accepted"),
    [
        (["any.onnx", "weights.bin"], True),
        (["a.onnx", "b.onnx"], False),
        (["a.onnx", "model.onnx"], True),
        (["a.onnx", "._a.onnx"], True),
        (["weights.bin"], False),
        ([], False),
    ],
    ids=str,
)
def test_a_folder_is_accepted_if_it_is_clear_which_file_is_meant(
    runtime: Any, write: Any, tmp_path: Path, names: list[str], *, accepted: bool
) -> None:
    (tmp_path / "folder").mkdir()
    for name in names:
        write(f"folder/{name}", b"weights" if name == "weights.bin" else None)
    assert runtime.accepts(tmp_path / "folder") is accepted
    if accepted:
        assert mlbuffet.load(tmp_path / "folder").predict({"x": [1]})["y"].tolist() == [-1]
    else:
        with pytest.raises(LoadFailed, match=r"one \.onnx file, or of several one that is called model\.onnx"):
            mlbuffet.load(tmp_path / "folder", runtime="onnx")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, world",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"\x08\x00",
        b"\x08\xff\xff\xff\x7f",
        b"\x08" + b"\xff" * 20,
        b"\x08\x07\x0f",
        b"\x08\x07\x12\xff\xff\x7f",
        b"\x0d\x00\x00\x00\x00",
        b"\x09" + bytes(8),
    ],
    ids=repr,
)
def test_what_cannot_be_a_model_is_not_accepted_for_its_name(runtime: Any, write: Any, content: bytes) -> None:
    assert not runtime.accepts(write(content=content))


@given(st.binary(max_size=64))
def test_no_bytes_whatever_make_the_look_at_a_file_fail(content: bytes) -> None:
    assert begins_as_model(content) in (True, False)


def test_other_files_and_no_files_are_not_accepted(runtime: Any, write: Any, tmp_path: Path) -> None:
    assert not runtime.accepts(write("model.pb"))
    assert not runtime.accepts(tmp_path / "missing.onnx")


def test_what_the_system_cannot_look_at_is_not_accepted(runtime: Any, tmp_path: Path) -> None:
    loop = tmp_path / "loop.onnx"
    loop.symlink_to(loop)
    for path in (loop, loop / "below.onnx", tmp_path / f"{'long' * 1000}.onnx"):
        assert runtime.refusal(path) == ""


def test_a_file_cut_short_is_accepted_and_not_loaded(runtime: Any, write: Any) -> None:
    whole = proto().SerializeToString()
    for end in (len(whole) // 2, len(whole) - 1):
        path = write(content=whole[:end])
        assert runtime.accepts(path)
        with pytest.raises(LoadFailed, match="damaged or cut short"):
            mlbuffet.load(path)
    assert runtime.accepts(write(content=b"\x08\x07\x12\x80"))


def test_neither_discovery_nor_acceptance_imports_onnxruntime(write: Any) -> None:
    program = (
        "import sys, mlbuffet, pathlib; r = mlbuffet.Runtimes(); r.discover();"
        "assert r['onnx'].accepts(pathlib.Path(sys.argv[1])); assert 'onnxruntime' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, write()], check=True)


def test_the_runtime_says_what_it_accepts_and_is(runtime: Any) -> None:
    assert runtime.platform == "onnx_onnxv1"
    assert runtime.distribution == "mlbuffet-onnx"
    assert "one .onnx file" in runtime.description


REFUSED: dict[str, tuple[onnx.ModelProto, str]] = {
    "newer opset": (proto(opset=300), r"it uses opset 300 of ai\.onnx, and onnxruntime \S+ knows opsets up to \d+"),
    "newer format": (
        proto(ir_version=99),
        r"in version 99 of the ONNX format, and onnxruntime \S+ reads versions up to",
    ),
    "no graph": (onnx.ModelProto(ir_version=8), "damaged or cut short.*copy or export it again"),
    "unknown operator": (proto([helper.make_node("Nope", ["x"], ["y"])]), "no operator Nope in opset 17"),
    "foreign operator": (
        proto([helper.make_node("Mine", ["x"], ["y"], domain="my.own")]),
        "operators of the ONNX standard",
    ),
    "missing kernel": (
        proto(
            [helper.make_node("Add", ["x", "x"], ["y"])],
            [value("x", TensorProto.BFLOAT16, ["n"])],
            [value("y", TensorProto.BFLOAT16, ["n"])],
        ),
        r"no implementation of the operator Add \(version 14\)",
    ),
    "dangling edge": (proto([helper.make_node("Neg", ["nowhere"], ["y"])]), r"breaks the rules of ONNX.*onnx\.checker"),
    "complex": (
        proto(
            [helper.make_node("Identity", ["x"], ["y"])],
            [value("x", TensorProto.COMPLEX64, ["n"])],
            [value("y", TensorProto.COMPLEX64, ["n"])],
        ),
        r"has a tensor\(complex64\), a type that onnxruntime \S+ cannot hold",
    ),
    "sequence out": (
        proto(
            [helper.make_node("SequenceConstruct", ["x"], ["s"])],
            outputs=[helper.make_value_info("s", helper.make_sequence_type_proto(TENSOR))],
        ),
        r"output 's' is of type seq\(tensor\(float\)\), and MLBuffet serves tensors; make one.*ConcatFromSequence",
    ),
    "sequence in": (
        proto(
            [helper.make_node("SequenceAt", ["s", "first"], ["y"])],
            [
                helper.make_value_info("s", helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, ["n"]))),
                value("first", TensorProto.INT64, []),
            ],
        ),
        r"input 's' is of type seq\(tensor\(float\)\)",
    ),
    "map in": (
        proto(
            [helper.make_node("DictVectorizer", ["m"], ["y"], domain="ai.onnx.ml", string_vocabulary=["a"])],
            [helper.make_value_info("m", MAP)],
        ),
        r"input 'm' is of type map\(string,tensor\(float\)\).*keys and values as two tensors",
    ),
    "optional out": (
        proto(
            [helper.make_node("Optional", ["x"], ["o"])],
            outputs=[helper.make_value_info("o", helper.make_optional_type_proto(TENSOR))],
        ),
        r"output 'o' is of type optional\(tensor\(float\)\).*OptionalGetElement",
    ),
    "sparse in": (
        proto(
            [helper.make_node("Identity", ["x"], ["y"])],
            [helper.make_value_info("s", helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [2])), X],
        ),
        r"input 's' is of type sparse_tensor\(float\).*dense tensor",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_that_cannot_be_served_is_refused_with_a_reason(write: Any, kind: str, tmp_path: Path) -> None:
    model, reason = REFUSED[kind]
    with pytest.raises(LoadFailed, match=reason) as caught:
        mlbuffet.load(write(content=model.SerializeToString()), runtime="onnx")
    assert caught.match(reason)
    assert str(tmp_path) not in caught.value.public
    assert "ONNXRuntimeError" not in caught.value.public


def with_external_weights(folder: Path) -> Path:
    weights = onnx.numpy_helper.from_array(np.arange(300, dtype=np.float32), "w")
    model = proto(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [value("x", TensorProto.FLOAT, [300])],
        [value("y", TensorProto.FLOAT, [300])],
        [weights],
    )
    onnx.save_model(model, folder / "big.onnx", save_as_external_data=True, location="big.bin", size_threshold=0)
    return folder


def test_weights_in_a_file_beside_the_model_are_found(tmp_path: Path) -> None:
    y = mlbuffet.load(with_external_weights(tmp_path)).predict({"x": np.ones(300, np.float32)})["y"]
    np.testing.assert_array_equal(y, np.arange(300) + 1)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"short")], ids=["missing", "short"])
def test_a_missing_file_of_weights_is_named_as_the_reason(tmp_path: Path, spoil: Callable[[Path], Any]) -> None:
    spoil(with_external_weights(tmp_path) / "big.bin")
    with pytest.raises(LoadFailed, match="file with its weights is missing beside it, or cut short") as caught:
        mlbuffet.load(tmp_path)
    assert str(tmp_path) not in caught.value.public


def test_weights_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    model = onnx.load(with_external_weights(tmp_path) / "big.onnx", load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../big.bin"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "big.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(LoadFailed, match="lies outside of its folder"):
        mlbuffet.load(tmp_path / "folder")


@pytest.mark.parametrize(
    "options",
    [
        {"providers": ["CPUExecutionProvider"]},
        {"providers": [["CPUExecutionProvider", {"use_arena": "0"}]]},
        {"intra_op_threads": 1, "inter_op_threads": 2},
        {"intra_op_threads": 2, "spinning": True},
        *({"graph_optimization": level} for level in ("disable", "basic", "extended", "all")),
    ],
    ids=str,
)
def test_options_are_taken(write: Any, options: dict[str, Any]) -> None:
    assert mlbuffet.load(write(), options=options).predict({"x": [1]})["y"].tolist() == [-1]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"threads": 1}, "no option 'threads'"),
        ({"intra_op_threads": "1"}, r"intra_op_threads: expected int, got str"),
        ({"intra_op_threads": True}, "expected int, got bool"),
        ({"inter_op_threads": -1}, ">= 0"),
        ({"spinning": 1}, "expected bool, got int"),
        ({"graph_optimization": "most"}, "'most'"),
        ({"providers": "CPUExecutionProvider"}, "expected array.*, got str"),
        ({"providers": []}, "length >= 1"),
        ({"providers": ["NoSuchProvider"]}, "'NoSuchProvider' is not available here, which has .*CPUExecutionProvider"),
        ({"providers": ["CPUExecutionProvider"] * 2}, "named twice"),
    ],
    ids=str,
)
def test_options_that_are_wrong_are_refused(write: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidOptions, match=problem) as caught:
        mlbuffet.load(write(), options=options)
    assert caught.value.valid == (
        *("providers", "intra_op_threads", "spinning", "inter_op_threads", "graph_optimization"),
        "custom_op_libraries",
    )


def test_one_thread_is_one_thread(write: Any) -> None:
    gc.collect()  # sessions of other tests end their threads

    def threads_of(options: dict[str, Any]) -> int:
        before = psutil.Process().num_threads()
        with mlbuffet.load(write(), options=options):
            return psutil.Process().num_threads() - before

    assert threads_of({"intra_op_threads": 1}) == 0
    assert threads_of({"intra_op_threads": 3}) == 2


@pytest.mark.parametrize("spinning", [False, True])
def test_idle_threads_spin_only_where_that_is_asked(write: Any, *, spinning: bool) -> None:
    settings = create_session(write(), Options(spinning=spinning)).get_session_options()
    for pool in ("intra", "inter"):
        assert settings.get_session_config_entry(f"session.{pool}_op.allow_spinning") == str(int(spinning))


def test_a_model_that_is_gone_gives_its_memory_back(tmp_path: Path) -> None:
    weights = onnx.numpy_helper.from_array(np.ones(4 * 2**20, np.float32), "w")
    node = helper.make_node("Add", ["x", "w"], ["y"])
    (tmp_path / "big.onnx").write_bytes(proto([node], [X], [Y], [weights]).SerializeToString())

    def grown(rounds: int) -> int:
        before = psutil.Process().memory_info().rss
        for _ in range(rounds):
            mlbuffet.load(tmp_path).close()
        gc.collect()
        return psutil.Process().memory_info().rss - before

    grown(3)
    assert grown(10) < 3 * weights.ByteSize()

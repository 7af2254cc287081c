"""What the ONNX runtime computes and how it describes its models."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import mlbuffet
from mlbuffet import InvalidInput, LoadFailed, PredictFailed, TensorSpec

value = helper.make_tensor_value_info

NATIVE = {
    TensorProto.BOOL: bool,
    TensorProto.INT8: np.int8,
    TensorProto.INT16: np.int16,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.UINT8: np.uint8,
    TensorProto.UINT16: np.uint16,
    TensorProto.UINT32: np.uint32,
    TensorProto.UINT64: np.uint64,
    TensorProto.FLOAT16: np.float16,
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.BFLOAT16: ml_dtypes.bfloat16,
    TensorProto.FLOAT8E4M3FN: ml_dtypes.float8_e4m3fn,
    TensorProto.FLOAT8E4M3FNUZ: ml_dtypes.float8_e4m3fnuz,
    TensorProto.FLOAT8E5M2: ml_dtypes.float8_e5m2,
    TensorProto.FLOAT8E5M2FNUZ: ml_dtypes.float8_e5m2fnuz,
}
CAST_ONLY = {  # onnxruntime has no Identity for them
    TensorProto.FLOAT8E8M0: ml_dtypes.float8_e8m0fnu,
    TensorProto.INT4: ml_dtypes.int4,
    TensorProto.UINT4: ml_dtypes.uint4,
    TensorProto.INT2: ml_dtypes.int2,
    TensorProto.UINT2: ml_dtypes.uint2,
}
EDGES: dict[Any, list[float]] = {
    ml_dtypes.float8_e8m0fnu: [0.5, 1, 2, 4, 8],
    ml_dtypes.int4: [-8, -1, 0, 7, 3],
    ml_dtypes.uint4: [15, 0, 1, 8, 7],
    ml_dtypes.int2: [-2, -1, 0, 1, 1],
    ml_dtypes.uint2: [3, 2, 1, 0, 3],
}
STRINGS = np.array([b"a", b"", b"b\0c\0", "é日".encode()], object)


def named(types: dict[Any, Any]) -> list[Any]:
    return [pytest.param(number, np.dtype(dtype), id=np.dtype(dtype).name) for number, dtype in types.items()]


def save(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = 25,
) -> Path:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    path = folder / "saved.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=11).SerializeToString())
    return path


def load(*arguments: Any, **options: Any) -> mlbuffet.Model:
    return mlbuffet.load(save(*arguments, **options), runtime="onnx")


def identity(folder: Path, number: int, shape: Sequence[int | str | None] | None) -> mlbuffet.Model:
    return load(folder, [node("Identity", "x", "y")], [value("x", number, shape)], [value("y", number, shape)])


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def specs(model: mlbuffet.Model) -> tuple[list[TensorSpec], list[TensorSpec]]:
    signature = model.signatures["serving_default"]
    return list(signature.inputs.values()), list(signature.outputs.values())


def bits(array: NDArray[Any]) -> tuple[Any, ...]:
    return array.dtype, array.shape, array.tobytes()


@pytest.mark.parametrize(("number", "dtype"), named(NATIVE))
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0, 3), (3, 0)], ids=str)
def test_every_type_comes_back_bit_for_bit(tmp_path: Path, number: int, dtype: Any, shape: tuple[int, ...]) -> None:
    model = identity(tmp_path, number, [None] * len(shape))
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    y = model.predict({"x": x})["y"]
    assert bits(y) == bits(x)
    assert not np.shares_memory(x, y)
    assert y.flags.writeable
    assert specs(model)[0] == [TensorSpec("x", dtype, [None] * len(shape))]


@pytest.mark.parametrize(("number", "dtype"), named(CAST_ONLY))
@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_types_smaller_than_a_byte_keep_their_values(tmp_path: Path, number: int, dtype: Any, count: int) -> None:
    sample = np.array(EDGES[dtype.type][:count], np.float32)
    widen = load(
        tmp_path,
        [node("Cast", "x", "y", to=TensorProto.FLOAT)],
        [value("x", number, ["n"])],
        [value("y", TensorProto.FLOAT, ["n"])],
    )
    narrow = load(
        tmp_path,
        [node("Cast", "x", "y", to=number)],
        [value("x", TensorProto.FLOAT, ["n"])],
        [value("y", number, ["n"])],
    )
    np.testing.assert_array_equal(widen.predict({"x": sample.astype(dtype)})["y"], sample)
    assert bits(narrow.predict({"x": sample})["y"]) == bits(sample.astype(dtype))
    assert specs(narrow)[1] == [TensorSpec("y", dtype, ["n"])]


@pytest.mark.parametrize("shape", [(4,), (2, 2), (0,), ()], ids=str)
def test_texts_are_bytes_in_both_directions(tmp_path: Path, shape: tuple[int, ...]) -> None:
    model = identity(tmp_path, TensorProto.STRING, [None] * len(shape))
    x = np.array(STRINGS[: int(np.prod(shape))]).reshape(shape)
    y = model.predict({"x": x})["y"]
    assert (y.dtype, y.shape, y.tolist()) == (x.dtype, x.shape, x.tolist())


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    model = identity(tmp_path, TensorProto.STRING, [None])
    with pytest.raises(InvalidInput, match=r"'x' holds bytes that are not UTF-8 \(b'\\xff'\)"):
        model.predict({"x": [b"good", b"\xff"]})


def test_texts_numbers_and_small_floats_go_in_together(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        [node("Identity", "text", "same"), node("Cast", "small", "wide", to=TensorProto.FLOAT)],
        [value("text", TensorProto.STRING, ["n"]), value("small", TensorProto.BFLOAT16, ["m"])],
        [value("wide", TensorProto.FLOAT, ["m"]), value("same", TensorProto.STRING, ["n"])],
    )
    outputs = model.predict({"text": [b"t"], "small": [1.5, -2]})
    assert list(outputs) == ["wide", "same"]
    assert outputs["wide"].tolist() == [1.5, -2]
    assert outputs["same"].tolist() == [b"t"]


def test_ordinary_outputs_come_beside_small_ones(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        [node("Cast", "x", "small", to=TensorProto.BFLOAT16), node("Neg", "x", "wide"), node("Cast", "x", "t", to=8)],
        [value("x", TensorProto.FLOAT, ["n", "m"])],
        [
            value("wide", TensorProto.FLOAT, ["n", "m"]),
            value("small", TensorProto.BFLOAT16, ["n", "m"]),
            value("t", TensorProto.STRING, ["n", "m"]),
        ],
    )
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    outputs = model.predict({"x": x.T})
    np.testing.assert_array_equal(outputs["wide"], -x.T)
    assert bits(outputs["small"]) == bits(np.ascontiguousarray(x.T).astype(ml_dtypes.bfloat16))
    assert outputs["t"][1].tolist() == [b"1", b"3", b"5"]
    assert not np.shares_memory(outputs["wide"], model.predict({"x": x.T})["wide"])


def test_small_outputs_beside_text_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"its output 'small' is bfloat16.*beside text inputs.*'text'; cast 'small'"):
        load(
            tmp_path,
            [node("Identity", "text", "same"), node("Cast", "x", "small", to=TensorProto.BFLOAT16)],
            [value("text", TensorProto.STRING, ["n"]), value("x", TensorProto.FLOAT, ["m"])],
            [value("small", TensorProto.BFLOAT16, ["m"]), value("same", TensorProto.STRING, ["n"])],
        )


@pytest.mark.parametrize(
    ("declared", "shape"),
    [
        (None, None),
        ([], ()),
        (["batch", 3], ("batch", 3)),
        ([None, 3], (None, 3)),
        (["2*n + 1"], ("2*n + 1",)),
        (["None", "?", "n"], (None, None, "n")),  # what exporters write for what they do not know
        ([-1, 2], (None, 2)),
        ([2, "batch", 128], (2, "batch", 128)),
        ([0], (0,)),
    ],
    ids=str,
)
def test_the_shape_is_the_one_in_the_file(tmp_path: Path, declared: Any, shape: Any) -> None:
    model = identity(tmp_path, TensorProto.FLOAT, declared)
    assert specs(model) == ([TensorSpec("x", np.float32, shape)], [TensorSpec("y", np.float32, shape)])


CONSTANTS = [
    helper.make_tensor("one", TensorProto.INT64, [3], [1, 1, -1]),
    helper.make_tensor("rows", TensorProto.INT64, [2], [-1, 4]),
    helper.make_tensor("kernel", TensorProto.FLOAT, [2, 1, 2], [1, 1, 1, 1]),
    helper.make_tensor("most", TensorProto.INT64, [1], [2]),
]


@pytest.mark.parametrize(
    ("nodes", "given", "declared", "shape"),
    [
        ([node("Reshape", "x one", "y")], [1, 128], ["a", "b", "c"], (1, 1, 128)),
        ([node("Reshape", "x one", "y")], ["n", 4], ["a", "b", "c"], (1, 1, "c")),
        ([node("Reshape", "x rows", "y")], ["n", 2, 2], ["a", "b"], ("a", 4)),
        ([node("Flatten", "x", "y")], ["n", 2, 3], [None, "b"], ("n", 6)),
        ([node("Concat", "x x", "y", axis=0)], ["n", 2], ["n", -1], ("n", 2)),
        ([node("Conv", "x kernel", "y")], ["n", 1, 5], ["n", "channels", "length"], ("n", 2, 4)),
        ([node("ReduceSum", "x", "y", keepdims=1)], ["n", 4], ["n", "m"], (1, 1)),
        ([node("Shape", "x", "s"), node("Cast", "s", "y", to=TensorProto.FLOAT)], ["n", 4, 2], ["rank"], (3,)),
        ([node("TopK", "x most", "y i")], ["n", 6], ["n", "k"], ("n", 2)),
        ([node("Concat", "x x", "y", axis=1)], ["n", "m"], ["n", 6], ("n", 6)),  # the file knows more
        ([node("Identity", "x", "y")], ["n", "m"], ["n", "m"], ("n", "m")),  # nobody knows
    ],
    ids=str,
)
def test_a_size_that_the_file_leaves_free_is_the_one_that_onnxruntime_infers(
    tmp_path: Path, nodes: list[onnx.NodeProto], given: list[Any], declared: list[Any], shape: Any
) -> None:
    ends = [value("x", TensorProto.FLOAT, given)], [value("y", TensorProto.FLOAT, declared)]
    model = load(tmp_path, nodes, *ends, CONSTANTS)
    assert specs(model)[1] == [TensorSpec("y", np.float32, shape)]
    sizes = [size if isinstance(size, int) else 3 for size in given]
    answer = model.predict({"x": np.ones(sizes, np.float32)})["y"].shape
    assert all(size == came for size, came in zip(shape, answer, strict=True) if isinstance(size, int))


def test_a_shape_that_only_onnxruntime_infers_is_told(tmp_path: Path) -> None:
    outputs = [value("y", TensorProto.FLOAT, None)]
    model = load(tmp_path, [node("Identity", "x", "y")], [value("x", TensorProto.FLOAT, ["n", 3])], outputs)
    assert specs(model)[1] == [TensorSpec("y", np.float32, ["n", 3])]


def test_any_rank_is_taken_where_the_file_gives_none(tmp_path: Path) -> None:
    model = identity(tmp_path, TensorProto.FLOAT, None)
    assert [model.predict({"x": np.ones(shape, np.float32)})["y"].shape for shape in ((), (2,), (1, 2))] == [
        (),
        (2,),
        (1, 2),
    ]


def test_inputs_and_outputs_keep_their_order_and_odd_names(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        [node("Neg", "z", "Partitioned:1"), node("Neg", "a", "Partitioned:0")],
        [value("z", TensorProto.FLOAT, []), value("a", TensorProto.FLOAT, [])],
        [value("Partitioned:1", TensorProto.FLOAT, []), value("Partitioned:0", TensorProto.FLOAT, [])],
    )
    assert model.signatures.default == "serving_default"
    assert [[spec.name for spec in side] for side in specs(model)] == [["z", "a"], ["Partitioned:1", "Partitioned:0"]]
    assert {name: float(array) for name, array in model.predict({"a": 1, "z": 2}).items()} == {
        "Partitioned:1": -2,
        "Partitioned:0": -1,
    }


def test_weights_that_are_also_inputs_are_optional_inputs(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        [node("Add", "x w", "y")],
        [value("x", TensorProto.FLOAT, [1]), value("w", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])],
        [helper.make_tensor("w", TensorProto.FLOAT, [1], [2])],
    )
    assert specs(model)[0] == [TensorSpec("x", np.float32, [1]), TensorSpec("w", np.float32, [1], optional=True)]
    assert model.predict({"x": [1]})["y"].tolist() == [3]
    assert model.predict({"x": [1], "w": [5]})["y"].tolist() == [6]
    with pytest.raises(InvalidInput, match=r"input 'x' is missing; .* w: float32 \(1,\) optional"):
        model.predict({"w": [5]})


@pytest.mark.parametrize("small", [False, True], ids=["beside ordinary outputs", "beside small outputs"])
def test_weights_of_text_are_optional_where_they_can_be_given(tmp_path: Path, *, small: bool) -> None:
    model = load(
        tmp_path,
        [node("Identity", "w", "t"), node("Cast", "x", "y", to=TensorProto.INT4 if small else TensorProto.INT64)],
        [value("x", TensorProto.FLOAT, [1]), value("w", TensorProto.STRING, [1])],
        [value("y", TensorProto.INT4 if small else TensorProto.INT64, [1]), value("t", TensorProto.STRING, [1])],
        [numpy_helper.from_array(np.array([b"kept"], object), "w")],
    )
    assert [spec.name for spec in specs(model)[0]] == (["x"] if small else ["x", "w"])
    assert model.predict({"x": [1]})["t"].tolist() == [b"kept"]
    if not small:
        assert model.predict({"x": [1], "w": ["given"]})["t"].tolist() == [b"given"]


def test_a_small_weight_is_an_optional_input(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        [node("Identity", "w", "y")],
        [value("w", TensorProto.BFLOAT16, [1])],
        [value("y", TensorProto.BFLOAT16, [1])],
        [helper.make_tensor("w", TensorProto.BFLOAT16, [1], [2])],
    )
    assert model.predict({})["y"].tolist() == [2]
    assert model.predict({"w": [3]})["y"].tolist() == [3]


@pytest.mark.parametrize("classes", [("setosa", "versicolor", "virginica"), (30, 10, 20)], ids=["text", "int"])
def test_a_zipmap_becomes_a_tensor_in_the_order_of_its_keys(tmp_path: Path, classes: tuple[Any, ...]) -> None:
    x, y = load_iris(return_X_y=True)
    classifier = LogisticRegression(max_iter=1000).fit(x, np.array(classes)[y])
    path = tmp_path / "iris.onnx"
    path.write_bytes(to_onnx(classifier, x[:1].astype(np.float32), target_opset=17).SerializeToString())
    model = mlbuffet.load(path)
    answers = model.predict({"X": x.astype(np.float32)})
    labels = sorted(classes) if isinstance(classes[0], str) else ["10", "20", "30"]
    assert specs(model)[1][1] == TensorSpec("output_probability", np.float32, [None, 3], labels=labels)
    np.testing.assert_allclose(answers["output_probability"], classifier.predict_proba(x), rtol=1e-4, atol=1e-6)
    assert model.predict({"X": np.empty((0, 4), np.float32)})["output_probability"].shape == (0, 3)


@pytest.mark.parametrize(
    ("labels", "key", "sorted_labels"),
    [
        ({"classlabels_int64s": [7, -2, 5]}, TensorProto.INT64, ["-2", "5", "7"]),
        ({"classlabels_strings": ["c", "a", "b"]}, 8, ["a", "b", "c"]),
    ],
    ids=["int", "text"],
)
def test_the_columns_of_a_zipmap_are_sorted_by_key_and_not_by_class(
    tmp_path: Path, labels: Any, key: int, sorted_labels: list[str]
) -> None:
    model = load(
        tmp_path,
        [node("ZipMap", "x", "maps", domain="ai.onnx.ml", **labels)],
        [value("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_value_info("maps", maps_of(key))],
        opset=17,
    )
    assert specs(model)[1] == [TensorSpec("maps", np.float32, [None, 3], labels=sorted_labels)]
    assert model.predict({"x": [[0, 1, 2], [3, 4, 5]]})["maps"].tolist() == [[1, 2, 0], [4, 5, 3]]


def test_labels_that_another_writer_has_packed_are_counted_too(tmp_path: Path) -> None:
    labels = onnx.AttributeProto(name="classlabels_int64s", type=onnx.AttributeProto.INTS).SerializeToString()
    zipmap = node("ZipMap", "x", "maps", domain="ai.onnx.ml").SerializeToString()
    graph = helper.make_graph(
        [],
        "graph",
        [value("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_value_info("maps", maps_of(TensorProto.INT64))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
    model.ClearField("graph")
    attribute = labels + message(8, bytes([200, 1, 5, 5, 9]))  # 200 is a varint of two bytes, and 5 is there twice
    whole = message(7, message(1, zipmap + message(5, attribute)) + graph.SerializeToString())
    (tmp_path / "packed.onnx").write_bytes(model.SerializeToString() + whole)
    labels_of_maps = ["5", "9", "200"]
    assert specs(mlbuffet.load(tmp_path))[1] == [TensorSpec("maps", np.float32, [None, 3], labels=labels_of_maps)]


def message(number: int, content: bytes) -> bytes:
    return (
        bytes(
            [
                number << 3 | 2,
                *([len(content)] if len(content) < 128 else [len(content) & 127 | 128, len(content) >> 7]),
            ]
        )
        + content
    )


def maps_of(key: int) -> onnx.TypeProto:
    return helper.make_sequence_type_proto(
        helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )


def test_inputs_of_every_layout_are_read_rightly_and_left_alone(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        [node("Add", "x x", "y")],
        [value("x", TensorProto.FLOAT, [None, None])],
        [value("y", TensorProto.FLOAT, [None, None])],
    )
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    for layout in (x.T, x[::-1], x[:, ::2], np.asfortranarray(x), x.astype(">f4")):
        before = layout.copy()
        np.testing.assert_array_equal(model.predict({"x": layout})["y"], before * 2)
        np.testing.assert_array_equal(layout, before)


def test_an_input_or_weight_that_is_an_output_is_copied(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        [node("Neg", "x", "y")],
        [value("x", TensorProto.FLOAT, ["n"])],
        [
            value("x", TensorProto.FLOAT, ["n"]),
            value("w", TensorProto.FLOAT, [1]),
            value("y", TensorProto.FLOAT, ["n"]),
        ],
        [helper.make_tensor("w", TensorProto.FLOAT, [1], [2])],
    )
    x = np.ones(3, np.float32)
    first = model.predict({"x": x})
    first["x"][:] = first["w"][:] = 9
    assert x.tolist() == [1, 1, 1]
    assert model.predict({"x": x})["w"].tolist() == [2]


def test_threads_get_their_own_answers(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        [node("Cast", "x", "y", to=TensorProto.BFLOAT16), node("Cast", "x", "z", to=TensorProto.STRING)],
        [value("x", TensorProto.FLOAT, ["n"])],
        [value("y", TensorProto.BFLOAT16, ["n"]), value("z", TensorProto.STRING, ["n"])],
    )
    wrong: list[Any] = []

    def ask(number: int) -> None:
        for _ in range(50):
            answer = model.predict({"x": np.full(100, number, np.float32)})
            if set(answer["y"].tolist()) != {number} or set(answer["z"]) != {str(number).encode()}:
                wrong.append(answer)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def gather(folder: Path) -> mlbuffet.Model:
    return load(
        folder,
        [node("Gather", "x i", "y")],
        [value("x", TensorProto.FLOAT, ["n"]), value("i", TensorProto.INT64, ["m"])],
        [value("y", TensorProto.FLOAT, ["m"])],
    )


def test_a_value_that_an_operator_cannot_take_is_the_callers_fault(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"operator Gather cannot take.*'x' of shape \(1,\), 'i' of shape \(1,\)"):
        gather(tmp_path).predict({"x": [1.0], "i": [7]})


def test_dimensions_of_one_name_that_differ_are_the_callers_fault(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        [node("Concat", "a b", "y", axis=1)],
        [value("a", TensorProto.FLOAT, ["n", None]), value("b", TensorProto.FLOAT, ["n", None])],
        [value("y", TensorProto.FLOAT, ["n", None])],
    )
    with pytest.raises(InvalidInput, match=r"'b' has 3 for the dimension 'n', and input 'a' has 2;.*equal"):
        model.predict({"a": np.ones((2, 1), np.float32), "b": np.ones((3, 1), np.float32)})
    assert model.predict({"a": [[1]], "b": [[1, 1]]})["y"].tolist() == [[1, 1, 1]]


def test_dimensions_of_one_name_are_equal_where_an_operator_would_stretch_one(tmp_path: Path) -> None:
    sides = [value("a", TensorProto.FLOAT, ["n"]), value("b", TensorProto.FLOAT, ["n"])]
    model = load(tmp_path, [node("Add", "a b", "y")], sides, [value("y", TensorProto.FLOAT, ["n"])])
    with pytest.raises(InvalidInput, match=r"'b' has 1 for the dimension 'n', and input 'a' has 2"):
        model.predict({"a": [1, 2], "b": [1]})


def test_an_output_that_is_not_as_the_file_declares_it_is_given(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        [node("Identity", "x", "y"), node("Shape", "x", "s")],
        [value("x", TensorProto.FLOAT, ["n", "m"])],
        [value("y", TensorProto.FLOAT, ["n", "n"]), value("s", TensorProto.INT64, ["m"])],
    )
    assert model.predict({"x": [[1, 2, 3]]})["y"].tolist() == [[1, 2, 3]]


def test_other_failures_are_the_models(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        [node("Reshape", "x size", "y")],
        [value("x", TensorProto.FLOAT, ["n"])],
        [value("y", TensorProto.FLOAT, [2, 2])],
        [helper.make_tensor("size", TensorProto.INT64, [2], [2, 2])],
    )
    with pytest.raises(PredictFailed, match="Reshape"):
        model.predict({"x": [1, 2, 3]})
    assert model.predict({"x": [1, 2, 3, 4]})["y"].tolist() == [[1, 2], [3, 4]]

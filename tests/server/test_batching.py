"""Requests share runs of a model, over both protocols, and nobody can tell but by the statistics."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.applications import Starlette

import mlbuffet
from gated import Gated, runtimes_with
from mlbuffet import Runtimes
from mlbuffet.repository import ModelRepository, State, find_models
from mlbuffet.server import create_app
from waiting import wait_for

Serve = Callable[..., tuple[httpx.Client, ModelRepository]]
RunApp = Callable[[Starlette], AbstractContextManager[httpx.Client]]
ALONE = "[scheduling]\nmax_concurrency = 1\n"


@pytest.fixture
def serve(run_app: RunApp) -> Iterator[Serve]:
    """A function that serves a folder of models, and gives a client for many threads with the repository."""
    with ExitStack() as stack:

        def start(folder: Path, runtimes: Runtimes) -> tuple[httpx.Client, ModelRepository]:
            repository, loaded = ModelRepository(runtimes), Event()
            repository.update(find_models(folder, runtimes))
            single = stack.enter_context(run_app(create_app(repository, on_loaded=loaded.set)))
            assert loaded.wait(60)
            limits = httpx.Limits(max_connections=None)
            client = httpx.Client(base_url=single.base_url, timeout=30, limits=limits)
            return stack.enter_context(client), repository

        yield start


def test_requests_of_both_protocols_share_a_batch_and_versions_do_not(tmp_path: Path, serve: Serve) -> None:
    plugin = Gated()
    for version in (1, 2):
        (tmp_path / f"models/m/{version}").mkdir(parents=True)
        (tmp_path / f"models/m/{version}/m.gated").touch()
    (tmp_path / "models/m/model.toml").write_text(ALONE + "[batching]\nmax_size = 8\nmax_delay_ms = 0.5")
    plugin.gate.set()
    client, repository = serve(tmp_path / "models", runtimes_with(plugin))
    plugin.gate.clear()
    plugin.batches.clear()

    def ask_v2(version: int, value: float) -> list[float]:
        tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": [value, value]}
        answer = client.post(f"/v2/models/m/versions/{version}/infer", json={"inputs": [tensor]}).json()
        data: list[float] = answer["outputs"][0]["data"]
        return data

    def ask_v1(value: float) -> list[float]:
        predictions: list[float] = client.post("/v1/models/m/versions/2:predict", json={"instances": [value]}).json()[
            "predictions"
        ]
        return predictions

    with ThreadPoolExecutor(10) as pool:
        held = [pool.submit(ask_v2, version, 0) for version in (1, 2)]
        wait_for(lambda: plugin.batches == [[0, 0], [0, 0]])
        answers = [pool.submit(ask_v2, *one) for one in ((1, 1), (2, 2), (2, 3))] + [pool.submit(ask_v1, 4)]
        wait_for(lambda: sum(version.users for version in repository) == 2 * 6)
        plugin.gate.set()
        assert [one.result() for one in held] == [[0, 0], [0, 0]]
        assert [one.result() for one in answers] == [[2, 2], [4, 4], [6, 6], [8]]
    assert sorted(sorted(batch) for batch in plugin.batches[2:]) == [[1, 1], [2, 2, 3, 3, 4]]
    statistics = client.get("/v2/models/m/versions/2/stats").json()["model_stats"][0]
    assert (statistics["inference_count"], statistics["execution_count"]) == (6, 2)  # of /v2
    assert statistics["inference_stats"]["success"]["count"] == 3
    sizes = {one["batch_size"]: one["compute_infer"]["count"] for one in statistics["batch_stats"]}
    assert sizes == {2: 1, 5: 1}
    config = client.get("/v2/models/m/config").json()
    assert config["max_batch_size"] == 8
    assert config["dynamic_batching"] == {"preferred_batch_size": [], "max_queue_delay_microseconds": 500}
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [1], "reshape": {"shape": []}}]


def test_a_model_that_cannot_be_batched_and_should_be_fails_to_load(tmp_path: Path, runtimes: Runtimes) -> None:
    (tmp_path / "models/e").mkdir(parents=True)
    (tmp_path / "models/e/e.echo").write_text("float32")
    (tmp_path / "models/e/model.toml").write_text("[batching]")
    repository = ModelRepository(runtimes)
    repository.update(find_models(tmp_path / "models", runtimes))
    repository.load_all()
    version = repository.get("e")
    assert version.state is State.FAILED
    assert version.reason == (
        "the model cannot be loaded: [batching]: calls of signature 'float32' cannot be batched: "
        "x: float32 any rank has no first axis of any size"
    )
    repository.close()


def saved_onnx(folder: Path, weights: NDArray[Any]) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", len(weights)])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", weights.shape[1]])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weights, "w")])
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, str(folder / "model.onnx"))
    return folder / "model.onnx"


def saved_tensorflow(folder: Path, weights: NDArray[Any]) -> Path:
    from mlbuffet_tensorflow._tensorflow import tf

    module = tf.Module()
    module.weights = tf.Variable(weights)
    spec = tf.TensorSpec([None, len(weights)], name="x")
    module.call = tf.function(
        lambda x: {"y": tf.nn.softmax(x @ module.weights)}, input_signature=[spec], autograph=False
    )
    tf.saved_model.save(module, str(folder))
    return folder


@pytest.mark.parametrize("save", [saved_onnx, saved_tensorflow])
def test_a_real_model_under_16_requests_at_once_answers_each_as_alone(
    tmp_path: Path, serve: Serve, save: Callable[[Path, NDArray[Any]], Path]
) -> None:
    weights = np.random.default_rng(1).normal(size=(512, 512)).astype(np.float32)
    path = save(tmp_path / "models/m", weights)
    (tmp_path / "models/m/model.toml").write_text(ALONE + "[batching]\nmax_delay_ms = 5")
    runtimes = Runtimes()
    runtimes.discover()
    client, _ = serve(tmp_path / "models", runtimes)
    rows = np.random.default_rng(2).normal(size=(16, 3, 512)).astype(np.float32)

    def ask(number: int) -> NDArray[Any]:
        count = number % 3 + 1
        tensor = {"name": "x", "shape": [count, 512], "datatype": "FP32", "data": rows[number, :count].ravel().tolist()}
        answer = client.post("/v2/models/m/infer", json={"inputs": [tensor]}).json()
        return np.array(answer["outputs"][0]["data"], np.float32).reshape(count, 512)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, [*range(16)] * 3))
    with mlbuffet.load(path) as model:
        for number, answer in zip([*range(16)] * 3, answers, strict=True):
            alone = model.predict({"x": rows[number, : number % 3 + 1]})["y"]
            np.testing.assert_allclose(answer, alone, rtol=1e-4, atol=1e-6)
    statistics = client.get("/v2/models/m/stats").json()["model_stats"][0]
    assert statistics["inference_count"] == sum(len(answer) for answer in answers)
    assert statistics["execution_count"] < len(answers)
    assert max(one["batch_size"] for one in statistics["batch_stats"]) > 3

"""deploy/kserve: each runtime is as KServe wants it, and serves what KServe mounts, under the name of the service."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import grpc
import jsonschema
import kubernetes_validate
import pytest
import yaml

from containers import served
from grpc_calls import answer, call
from mlbuffet.grpc.messages.open_inference import ModelInferRequest
from onnx_linear import save_linear
from python_models import write_model

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kserve"
SCHEMA = json.loads(Path(__file__).with_name("serving_runtime.schema.json").read_text())
RUNTIMES: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml") if path.stem != "kustomization"
}
KSERVE = os.environ.get("MLBUFFET_KSERVE_PYTHON")
NEITHER = {"convert", "pipeline"}
"""The one converts models, the other joins several of one folder: KServe mounts one."""


def test_there_is_one_for_every_runtime_of_one_model() -> None:
    assert RUNTIMES.keys() == {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")} - NEITHER
    resources = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted(resources) == sorted(f"{name}.yaml" for name in RUNTIMES)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_fits_the_schemas(name: str) -> None:
    runtime = RUNTIMES[name]
    jsonschema.validate(runtime, SCHEMA)
    parts = {part: runtime["spec"][part] for part in ("containers", "volumes")}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": parts}
    for version in ("1.30", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(pod, version, strict=True)


def test_all_are_alike_but_for_their_formats_and_images() -> None:
    def common(name: str) -> dict[str, Any]:
        runtime = deepcopy(RUNTIMES[name])
        assert runtime["metadata"].pop("name") == f"mlbuffet-{name}"
        (container,) = runtime["spec"]["containers"]
        assert container.pop("image") == f"mlbuffet:1.0.0-{name}"
        del runtime["spec"]["supportedModelFormats"], container["resources"]
        return runtime

    assert [name for name in RUNTIMES if common(name) != common("onnx")] == []


def test_no_format_is_claimed_twice_and_none_before_the_runtimes_of_kserve() -> None:
    formats = [one for runtime in RUNTIMES.values() for one in runtime["spec"]["supportedModelFormats"]]
    assert len({(one["name"], one["version"]) for one in formats}) == len(formats)
    assert not any("priority" in one for one in formats)


def a_file(models: Path) -> None:
    models.mkdir()
    save_linear(models / "linear.onnx")


def versions(models: Path) -> None:
    for version in ("1", "2"):
        (models / version).mkdir(parents=True)
        save_linear(models / version / "model.onnx")


def files(models: Path) -> None:
    a_file(models)
    (models / "model.toml").write_text('description = "one"\n')


def a_saved_model(models: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    module = tensorflow.Module()
    specification = tensorflow.TensorSpec([None, 3], tensorflow.float32, name="x")
    weights = tensorflow.constant([[0.0, 1], [2, 3], [4, 5]]) / 7
    module.f = tensorflow.function(lambda x: {"y": x @ weights}, input_signature=[specification])
    tensorflow.saved_model.save(module, models / "1", signatures={"serving_default": module.f})


def python(models: Path) -> None:
    text = """
    @signature
    def predict(self, x: Float32["n", 3]) -> {"y": Float32["n", 2]}:
        return {"y": x @ (np.arange(6, dtype=np.float32) / 7).reshape(3, 2)}
    """
    write_model(models, text)


MOUNTED: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a file": ("onnx", a_file),
    "versions": ("onnx", versions),
    "a model with its settings": ("onnx", files),
    "versions of a SavedModel": ("tensorflow", a_saved_model),
    "a model in Python": ("python", python),
}


def ask_over_grpc(address: str) -> None:
    """The Open Inference Protocol and TensorFlow Serving's, of the model ``my-model``."""
    with grpc.insecure_channel(address) as channel:
        x = {"name": "x", "datatype": "FP32", "shape": [1, 3], "contents": {"fp32_contents": [7, 0, 7]}}
        (output,) = answer(channel, ModelInferRequest(model_name="my-model", inputs=[x])).outputs
        assert list(output.contents.fp32_contents) == pytest.approx([4, 6])
        asked = b"\x0a\x0a\x0a\x08my-model\x12\x0dsignature_def"  # a GetModelMetadataRequest
        code, details, _ = call(channel, asked, "/tensorflow.serving.PredictionService/GetModelMetadata")
        assert code is grpc.StatusCode.OK, details


@pytest.mark.parametrize("mounted", MOUNTED)
def test_what_kserve_mounts_is_served_over_its_protocols(tmp_path: Path, mounted: str) -> None:
    name, write = MOUNTED[mounted]
    write(tmp_path / "mnt")
    (container,) = deepcopy(RUNTIMES[name]["spec"]["containers"])
    container["args"] = [word.replace("{{.Name}}", "my-model") for word in container["args"]]
    with served(container, tmp_path, {"/mnt/models": tmp_path / "mnt"}) as server, server.client() as client:
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] == 8080
            assert server.probe(container[probe]) == 200
        answered = client.post("/v1/models/my-model:predict", json={"instances": [[7, 0, 7]]})
        assert answered.json() == {"predictions": [pytest.approx([4, 6])]}
        x = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [7, 0, 7]}
        outputs = client.post("/v2/models/my-model/infer", json={"inputs": [x]}).json()["outputs"]
        assert outputs[0]["data"] == pytest.approx([4, 6])
        ask_over_grpc(f"127.0.0.1:{server.ports['--grpc-port']}")
        assert client.get(RUNTIMES[name]["spec"]["annotations"]["prometheus.kserve.io/path"]).status_code == 200


def test_the_service_in_the_documents_finds_its_runtime() -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?kind: InferenceService.*?)```", page, re.DOTALL)
    model = yaml.safe_load(text)["spec"]["predictor"]["model"]
    runtime = RUNTIMES[model["runtime"].removeprefix("mlbuffet-")]["spec"]
    assert model["modelFormat"]["name"] in [one["name"] for one in runtime["supportedModelFormats"]]
    assert model["protocolVersion"] in runtime["protocolVersions"]


CLIENT = """
import asyncio, sys
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
import numpy as np

async def ask(http, grpc):
    x = InferInput("x", [1, 3], "FP32")
    x.set_data_from_numpy(np.array([[7, 0, 7]], np.float32))
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await rest.is_server_ready(http) and await rest.is_model_ready(http, "my-model")
    print((await rest.infer(http, InferRequest("my-model", [x]), model_name="my-model")).outputs[0].as_numpy().tolist())
    await rest.close()
    old = InferenceRESTClient(RESTConfig(protocol="v1"))
    print((await old.infer(http, {"instances": [[7, 0, 7]]}, model_name="my-model"))["predictions"])
    await old.close()
    async with InferenceGRPCClient(grpc) as client:
        assert await client.is_server_ready() and await client.is_model_ready("my-model")
        print((await client.infer(InferRequest("my-model", [x]))).outputs[0].as_numpy().tolist())

asyncio.run(ask(*sys.argv[1:]))
"""


@pytest.mark.skipif(KSERVE is None, reason="KServe's library is in an environment of its own: make clients")
def test_the_library_of_kserve_asks_it(tmp_path: Path) -> None:
    a_file(tmp_path / "mnt")
    (container,) = deepcopy(RUNTIMES["onnx"]["spec"]["containers"])
    container["args"] = [word.replace("{{.Name}}", "my-model") for word in container["args"]]
    with served(container, tmp_path, {"/mnt/models": tmp_path / "mnt"}) as server:
        addresses = f"http://127.0.0.1:{server.ports['--port']}", f"127.0.0.1:{server.ports['--grpc-port']}"
        environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
        command = [str(KSERVE), "-c", CLIENT, *addresses]
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
        assert ran.returncode == 0, ran.stderr
        assert [json.loads(line)[0] for line in ran.stdout.splitlines()] == [pytest.approx([4, 6])] * 3


FIELDS = """
import json
from kserve import models

kinds = ("V1alpha1ClusterServingRuntime", "V1alpha1ServingRuntimeSpec", "V1alpha1SupportedModelFormat")
print(json.dumps([sorted(getattr(models, kind).attribute_map.values()) for kind in kinds]))
"""


@pytest.mark.skipif(KSERVE is None, reason="KServe's library is in an environment of its own: make clients")
def test_the_library_of_kserve_knows_every_field() -> None:
    ran = subprocess.run([str(KSERVE), "-c", FIELDS], capture_output=True, text=True, check=True, timeout=120)
    top, specification, formats = (set(names) for names in json.loads(ran.stdout.splitlines()[-1]))
    for runtime in RUNTIMES.values():
        assert runtime.keys() <= top
        assert runtime["spec"].keys() <= specification
        assert all(one.keys() <= formats for one in runtime["spec"]["supportedModelFormats"])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_kustomize_puts_them_together() -> None:
    ran = subprocess.run(["kubectl", "kustomize", FOLDER], check=True, capture_output=True, text=True)
    names = {one["metadata"]["name"] for one in yaml.safe_load_all(ran.stdout)}
    assert names == {f"mlbuffet-{name}" for name in RUNTIMES}

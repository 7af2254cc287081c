"""deploy/kubernetes: each overlay is valid, what it starts serves, and what its parts say fits together."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from containers import run_once, served
from onnx_linear import save_linear
from waiting import wait_for

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
BASE: dict[str, dict[str, Any]] = {
    one["kind"]: one
    for path in (FOLDER / "base").glob("*.yaml")
    for one in yaml.safe_load_all(path.read_text())
    if one["kind"] != "Kustomization"
}
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
WITH_KUBECTL = pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
POD = BASE["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
X = {"instances": [[7, 0, 7]]}


def rendered(overlay: str) -> dict[str, dict[str, Any]]:
    """What `kubectl apply --kustomize` would send, by kind."""
    command = ["kubectl", "kustomize", str(FOLDER / "overlays" / overlay)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return {one["kind"]: one for one in yaml.safe_load_all(ran.stdout)}


def is_valid(manifest: dict[str, Any]) -> None:
    """In the oldest Kubernetes that anybody runs, and in the newest whose schemas there are."""
    for version in ("1.30", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("kind", BASE)
def test_a_manifest_is_valid(kind: str) -> None:
    is_valid(BASE[kind])


def test_a_wrong_manifest_is_not_valid() -> None:
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        is_valid({**BASE["Deployment"], "spec": {**BASE["Deployment"]["spec"], "replica": 1}})


@WITH_KUBECTL
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid_and_has_all_parts(overlay: str) -> None:
    parts = rendered(overlay)
    assert parts.keys() - {"PersistentVolumeClaim"} == BASE.keys()
    for manifest in parts.values():
        is_valid(manifest)
    pod = parts["Deployment"]["spec"]["template"]["spec"]
    (models,) = [volume for volume in pod["volumes"] if volume["name"] == "models"]
    assert len(models) == 2, "a volume has one source"
    assert {one["image"] for one in [*pod["containers"], *pod.get("initContainers", [])]} == {"mlbuffet:1.0.0"}


def test_everything_finds_the_pods() -> None:
    labels = BASE["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selected = [
        BASE["Deployment"]["spec"]["selector"]["matchLabels"],
        BASE["Service"]["spec"]["selector"],
        BASE["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        BASE["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(one.items() <= labels.items() for one in selected)
    target = BASE["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": BASE["Deployment"]["metadata"]["name"]}
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert [port["targetPort"] for port in BASE["Service"]["spec"]["ports"]] == list(ports)
    (rule,) = BASE["NetworkPolicy"]["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == list(ports.values()) == [8000, 8001]


def test_a_pod_ends_by_itself_and_after_everybody_has_heard_of_it() -> None:
    given = dict(word.split("=") for word in CONTAINER["args"] if "=" in word)
    readiness = CONTAINER["readinessProbe"]
    assert float(given["--drain"]) > readiness["periodSeconds"] * readiness["failureThreshold"]
    assert float(given["--grace"]) > float(given["--drain"])
    assert POD["terminationGracePeriodSeconds"] > float(given["--grace"])


def test_a_rollout_waits_for_the_start_of_a_pod() -> None:
    startup = CONTAINER["startupProbe"]
    longest = startup["periodSeconds"] * startup["failureThreshold"]
    assert BASE["Deployment"]["spec"]["progressDeadlineSeconds"] > longest


def test_the_autoscaler_asks_for_what_the_adapter_gives() -> None:
    (adapted,) = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    metrics = BASE["HorizontalPodAutoscaler"]["spec"]["metrics"]
    asked = [one["pods"]["metric"]["name"] for one in metrics if "pods" in one]
    assert asked == [adapted["seriesQuery"].partition("{")[0]] == ["mlbuffet_calls_waiting"]


def test_a_pod_can_do_little() -> None:
    security = CONTAINER["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert POD["securityContext"]["runAsNonRoot"]
    assert not POD["automountServiceAccountToken"]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of two models."""
    folder = tmp_path / "repository"
    for name in ("one", "two"):
        (folder / name / "1").mkdir(parents=True)
        save_linear(folder / name / "1/model.onnx")
    return folder


def volumes(overlay: str) -> list[dict[str, Any]]:
    return list(rendered(overlay)["Deployment"]["spec"]["template"]["spec"]["volumes"])


def containers(overlay: str, list_of: str = "containers") -> Iterator[dict[str, Any]]:
    yield from rendered(overlay)["Deployment"]["spec"]["template"]["spec"][list_of]


def test_the_base_serves_and_its_probes_are_answered(tmp_path: Path, models: Path) -> None:
    with served(CONTAINER, tmp_path, {"/models": models}) as server, server.client() as client:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert server.probe(CONTAINER[probe]) == 200
        assert client.post("/v1/models/two:predict", json=X).status_code == 200
        annotations = BASE["Deployment"]["spec"]["template"]["metadata"]["annotations"]
        assert client.get(annotations["prometheus.io/path"]).status_code == 200


@WITH_KUBECTL
def test_models_of_a_volume_are_followed(tmp_path: Path, models: Path) -> None:
    (container,) = containers("claim")
    with served(container, tmp_path, {"/models": models}) as server, server.client() as client:
        shutil.copytree(models / "one", models / ".three")
        (models / ".three").rename(models / "three")
        wait_for(lambda: client.post("/v1/models/three:predict", json=X).status_code == 200, 60)


@WITH_KUBECTL
def test_models_of_a_bucket_are_copied_before_the_server_starts(tmp_path: Path, models: Path) -> None:
    (fetching,), (container,) = containers("bucket", "initContainers"), containers("bucket")
    bucket = tmp_path / "bucket/2026-11-29"
    models.rename(bucket.parent)
    bucket.mkdir()
    for name in ("one", "two"):
        (bucket.parent / name).rename(bucket / name)
    (one,) = fetching["env"]
    one["value"] = bucket.as_uri()
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    run_once(fetching, tmp_path, {"/models/": mounted, "/models": mounted})
    with served(container, tmp_path, {"/models": mounted}) as server, server.client() as client:
        assert client.post("/v1/models/two:predict", json=X).status_code == 200


@WITH_KUBECTL
def test_a_config_map_of_a_model_is_made_as_the_documents_say(tmp_path: Path) -> None:
    (command,) = re.findall(r"`(kubectl create configmap [^`]+)`", (ROOT / "docs/deploy.md").read_text())
    save_linear(tmp_path / "iris.onnx")
    words = [*shlex.split(command), "--dry-run=client", "--output=yaml"]
    ran = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True)
    made = yaml.safe_load(ran.stdout)
    is_valid(made)
    assert list(made["binaryData"]) == ["iris.onnx"]
    (volume,) = [one for one in volumes("config-map") if one["name"] == "models"]
    assert volume["configMap"]["name"] == made["metadata"]["name"]


def publish(volume: Path, number: int, *names: str) -> None:
    """Write files as the kubelet writes those of a ConfigMap: into a folder of their own, to which a link moves."""
    data = volume / f"..2026_11_29_{number}"
    data.mkdir()
    for name in names:
        save_linear(data / name)
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"..data/{name}")
    (volume / "..data_tmp").symlink_to(data.name)
    (volume / "..data_tmp").rename(volume / "..data")


@WITH_KUBECTL
def test_models_of_a_config_map_are_followed(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    publish(volume, 1, "one.onnx")
    (container,) = containers("config-map")
    with served(container, tmp_path, {"/models": volume}) as server, server.client() as client:
        assert client.post("/v1/models/one:predict", json=X).status_code == 200
        publish(volume, 2, "one.onnx", "two.onnx")
        wait_for(lambda: client.post("/v1/models/two:predict", json=X).status_code == 200, 60)
        assert client.post("/v1/models/one:predict", json=X).status_code == 200

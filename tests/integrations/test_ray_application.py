"""What an application for Ray Serve is made of, without a cluster: deployments, places and settings, as documented."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlbuffet.errors import MLBuffetError
from mlbuffet.repository import RemoteFolder, StoredModel, StoredVersion
from small_runtimes import write_models

pytest.importorskip("ray")

from ray.serve._private.build_app import build_app

import mlbuffet_ray
from mlbuffet_ray.model_places import places_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/ray.md").read_text()
PLUGINS = {"half": "small_runtimes:HalfPlusTwo"}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    table = PAGE.split("```toml\n")[1].split("```")[0]
    return write_models(tmp_path, {"a/1/x.half": "half", "a/model.toml": table, "b.half": "half"})


def deployed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The deployments of an application by name."""
    application = mlbuffet_ray.app({"runtimes": PLUGINS, **arguments})
    built = build_app(application, name="default", default_runtime_env={})
    return {one.name: one for one in built.deployments}


def test_a_model_with_replicas_gets_what_its_table_says(models: Path) -> None:
    found = deployed({"models": str(models)})
    assert found.keys() == {"_directory", "_front", "a"}
    config = found["a"]._deployment_config.autoscaling_config
    assert (config.min_replicas, config.max_replicas, config.target_ongoing_requests) == (2, 8, 4)
    assert found["a"].ray_actor_options == {"num_cpus": 1, "num_gpus": 0.5, "memory": 2147483648}
    assert found["_front"].num_replicas == 1


def test_the_file_of_the_page_is_understood(models: Path) -> None:
    (file,) = yaml.safe_load(PAGE.split("```yaml\n")[1].split("```")[0])["applications"]
    assert file["import_path"] == "mlbuffet_ray:app"
    found = deployed({**file["args"], "models": [str(models)]})
    assert found.keys() == {"_directory", "_front", "a", "b"}
    assert found["b"].ray_actor_options["num_cpus"] == 0.5
    assert found["_front"]._deployment_config.autoscaling_config.max_replicas == 8


def test_the_program_of_the_page_is_understood(models: Path) -> None:
    call = re.findall(r"serve\.run\((mlbuffet_ray\.build\(.*?\)), route_prefix", PAGE)[0]
    write_models(models, {"c/1/model.onnx": ""})
    eval(call.replace("/mnt/models", str(models)), {"mlbuffet_ray": mlbuffet_ray})


def test_settings_of_a_command_line_are_text(models: Path) -> None:
    mlbuffet_ray.app({"models": str(models), "runtimes": PLUGINS, "allow_changes": "true", "request_timeout": "2.5"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "models is missing; name a folder of models, as in models=./models"),
        ({"models": "m", "speed": 3}, "mlbuffet_ray.build() has no setting 'speed'"),
        ({"models": "m", "request_timeout": "soon"}, "request_timeout"),
        ({"models": "m", "front": {"min": 0}}, "min"),
        ({"models": "/nowhere/at/all"}, "there is no file or folder at"),
    ],
)
def test_what_is_wrong_is_said(arguments: Mapping[str, Any], said: str) -> None:
    with pytest.raises((MLBuffetError, TypeError, ValueError), match=re.escape(said)):
        mlbuffet_ray.app(arguments)


def test_a_model_with_a_wrong_table_is_left_to_the_front(models: Path) -> None:
    (models / "a/model.toml").write_text("[replicas]\nmin = 0")
    assert "a" not in deployed({"models": str(models)})


def test_a_replica_looks_at_the_files_of_its_model_alone(tmp_path: Path) -> None:
    remote = RemoteFolder("s3://bucket/models", tmp_path)
    for path in (remote.path / "a" / "3", tmp_path / "there" / "a" / "1"):
        path.mkdir(parents=True)
    (remote.path / "b.half").write_text("half")
    a = [StoredVersion("a", 1, tmp_path / "there/a/1"), StoredVersion("a", 3, remote.path / "a/3")]
    assert places_of(StoredModel("a", tuple(a)), [remote]) == (f"a={tmp_path}/there/a", "a=s3://bucket/models/a")
    b = StoredModel("b", (StoredVersion("b", 1, remote.path / "b.half"),))
    assert places_of(b, [remote]) == ("b=s3://bucket/models/b.half",)

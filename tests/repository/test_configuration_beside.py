"""``wine.toml`` beside ``wine.onnx`` is to a single file what model.toml is to a folder."""

import json
from pathlib import Path

import pytest

from mlbuffet import InvalidConfiguration, Runtimes
from mlbuffet.repository import StoredModel, find_models
from mlbuffet.repository.content import _files
from mlbuffet.repository.layout import DEFAULTS
from small_runtimes import write_models


def find(path: Path, runtimes: Runtimes) -> dict[str, StoredModel]:
    return {model.name: model for model in find_models(path, runtimes)}


@pytest.mark.parametrize("at", [".", "wine.half"])
def test_it_is_the_configuration_of_that_model(
    tmp_path: Path, runtimes: Runtimes, caplog: pytest.LogCaptureFixture, at: str
) -> None:
    write_models(tmp_path, {"wine.half": "half", "wine.toml": 'description = "Red"', "other.half": "half"})
    models = find(tmp_path / at, runtimes)
    assert models["wine"].configuration.description == "Red"
    assert models.get("other", models["wine"]).configuration in (DEFAULTS, models["wine"].configuration)
    assert caplog.text == ""


def test_a_name_with_dots_is_the_whole_name(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, {"wine.v2.half": "half", "wine.v2.toml": 'description = "Red"', "wine.half": "half"})
    models = find(tmp_path, runtimes)
    assert models["wine.v2"].configuration.description == "Red"
    assert models["wine"].configuration == DEFAULTS


def test_a_wrong_key_fails_that_model_alone(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, {"wine.half": "half", "wine.toml": "runtim = 'half'", "other.half": "half"})
    models = find(tmp_path, runtimes)
    assert isinstance(models["wine"].error, InvalidConfiguration)
    assert "wine.toml" in str(models["wine"].error)
    assert models["other"].error is None


def test_one_without_a_model_beside_it_is_told(
    tmp_path: Path, runtimes: Runtimes, caplog: pytest.LogCaptureFixture
) -> None:
    write_models(tmp_path, {"wine.half": "half", "vine.toml": "", "folder/1/model.half": "half", "folder.toml": ""})
    assert sorted(find(tmp_path, runtimes)) == ["folder", "wine"]
    assert "vine.toml': no file beside it is the model 'vine'" in caplog.text
    assert "folder.toml': no file beside it is the model 'folder'; a folder has its model.toml in it" in caplog.text


def test_what_came_with_an_upload_counts_for_nothing(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, {"iris/1/wine.half": "half", "iris/1/wine.toml": 'description = "Red"'})
    (tmp_path / "iris/1/.upload.json").write_text(json.dumps({}))
    assert find(tmp_path / "iris/1/wine.half", runtimes)["wine"].configuration == DEFAULTS


def test_it_is_no_part_of_the_content(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, {"wine.half": "half", "wine.toml": "", "wine.half.data": "more"})
    (stored,) = find(tmp_path / "wine.half", runtimes)["wine"].versions
    assert sorted(_files(stored)) == ["wine.half", "wine.half.data"]

"""Operators that a shared library brings, and from where that may come."""

import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime_extensions import get_library_path

import mlbuffet
from mlbuffet import InvalidOptions, LoadFailed, Model
from mlbuffet.load_context import LoadContext
from mlbuffet.model import load_artifact
from mlbuffet.repository import ModelRepository, find_models
from mlbuffet.runtimes import installed_runtimes

LIBRARY = Path(get_library_path())
ALLOWED = "MLBUFFET_ONNX_LIBRARIES"


def save_upper(folder: Path) -> Path:
    """A model that only runs with the library: text in capitals."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.STRING, [None]) for name in "xy")
    node = helper.make_node("StringUpper", ["x"], ["y"], domain="ai.onnx.contrib")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.contrib", 1)]
    folder.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph([node], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "model.onnx")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The model, with its library in a folder within and another beside it."""
    folder = save_upper(tmp_path / "upper")
    (folder / "lib").mkdir()
    for place in (folder / "lib" / "own.so", tmp_path / "outside.so"):
        shutil.copy(LIBRARY, place)
    (folder / "inward.so").symlink_to("lib/own.so")
    (folder / "outward.so").symlink_to("../outside.so")
    return folder


def load(path: Path, *libraries: Any, confined: bool = True) -> Model:
    folder = path if path.is_dir() else path.parent
    options = {"custom_op_libraries": libraries}
    context = LoadContext(name="m", options_folder=folder if confined else None)
    return load_artifact(path, installed_runtimes(), None, options, context=context)


def uppers(model: Model) -> bool:
    with model:
        return bool(model.predict({"x": ["abc"]})["y"] == [b"ABC"])


def test_without_the_library_the_option_is_named(folder: Path) -> None:
    with pytest.raises(
        LoadFailed, match=r"the option custom_op_libraries \(in the table \[options\] of its model.toml"
    ):
        load(folder)


@pytest.mark.parametrize("name", ["lib/own.so", "./lib/../lib/own.so", "inward.so"])
@pytest.mark.parametrize("artifact", [".", "model.onnx"])
def test_a_library_in_the_models_folder_brings_operators(folder: Path, name: str, artifact: str) -> None:
    assert uppers(load(folder / artifact, name))
    assert uppers(load(folder / artifact, str((folder / name).absolute())))


def test_a_folder_that_is_a_link_is_the_models_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert uppers(load(tmp_path / "link", "lib/own.so"))


@pytest.mark.parametrize(
    "name", ["../outside.so", "lib/../../outside.so", "outward.so", LIBRARY, "/etc/passwd"], ids=str
)
def test_a_library_elsewhere_is_refused_where_the_options_are_of_a_file(folder: Path, name: str | Path) -> None:
    with pytest.raises(InvalidOptions) as refused:
        load(folder, "lib/own.so", str(name))
    assert "custom_op_libraries[1] lies outside of the model's folder" in refused.value.public
    assert ALLOWED in refused.value.public
    assert "/outside" not in refused.value.public
    assert "/etc" not in refused.value.public


@pytest.mark.parametrize("name", ["../outside.so", "outward.so", LIBRARY])
def test_a_program_may_name_any_library(folder: Path, name: str | Path) -> None:
    assert uppers(load(folder, str(name), confined=False))


@pytest.mark.parametrize("allowed", ["{0}/outside.so", "/nowhere:{0}"])
def test_who_starts_the_server_may_allow_others(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str
) -> None:
    monkeypatch.setenv(ALLOWED, allowed.format(tmp_path))
    assert uppers(load(folder, str(tmp_path / "outside.so")))
    with pytest.raises(InvalidOptions, match="lies outside"):
        load(folder, "/etc/passwd")


@pytest.mark.parametrize(
    ("library", "problem"),
    [
        ("lost.so", "custom_op_libraries[0] is no file"),
        ("lib", "custom_op_libraries[0] is no file"),
        ("model.onnx", "has no operators for onnxruntime, or was built for another"),
    ],
)
def test_what_is_no_library_is_told_without_its_path(folder: Path, library: str, problem: str) -> None:
    with pytest.raises(LoadFailed) as refused:
        load(folder, library)
    assert problem in refused.value.public
    assert str(folder) not in refused.value.public
    assert str(folder / library) in str(refused.value)


@pytest.mark.parametrize("libraries", ["own.so", [1], [""], ["a\0b"], {"a": "b"}], ids=repr)
def test_an_option_that_is_no_list_of_paths_is_invalid(folder: Path, libraries: Any) -> None:
    with pytest.raises(InvalidOptions, match="custom_op_libraries"):
        mlbuffet.load(folder, options={"custom_op_libraries": libraries})


@pytest.mark.parametrize("name", ["own.so", "lib/own.so", "1/beside.so", "beside.so", "1/../own.so"])
def test_a_library_of_a_model_with_versions_lies_beside_its_model_toml_or_the_artifact(
    tmp_path: Path, name: str
) -> None:
    save_upper(tmp_path / "upper" / "1")
    for place in ("own.so", "lib/own.so", "1/beside.so"):
        (tmp_path / "upper" / place).parent.mkdir(exist_ok=True)
        shutil.copy(LIBRARY, tmp_path / "upper" / place)
    (tmp_path / "upper" / "model.toml").write_text(f'options = {{ custom_op_libraries = ["{name}"] }}')
    assert uppers(mlbuffet.load(tmp_path / "upper"))
    repository = ModelRepository(installed_runtimes())
    repository.update(find_models(tmp_path, installed_runtimes()))
    repository.load_all()
    assert uppers(repository.get("upper").model)
    repository.close()


@pytest.mark.parametrize("name", ["../outside.so", "1/../../outside.so", "../upper2/own.so"])
def test_a_library_of_another_model_is_outside(tmp_path: Path, name: str) -> None:
    save_upper(tmp_path / "upper" / "1")
    (tmp_path / "upper2").mkdir()
    for place in ("outside.so", "upper2/own.so"):
        shutil.copy(LIBRARY, tmp_path / place)
    (tmp_path / "upper" / "model.toml").write_text(f'options = {{ custom_op_libraries = ["{name}"] }}')
    with pytest.raises(InvalidOptions, match="lies outside of the model's folder"):
        mlbuffet.load(tmp_path / "upper")

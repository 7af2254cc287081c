"""``mlbuffet.load`` takes an artifact, the folder that holds one, and the folder of a model with its versions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import mlbuffet
from mlbuffet import (
    DuplicateModel,
    InvalidConfiguration,
    LoadFailed,
    NoRuntime,
    NotOneArtifact,
    Runtimes,
    hookimpl,
)
from mlbuffet.version_numbers import LARGEST
from runtimes_with_options import runtimes_with_options
from small_runtimes import HalfPlusTwo, write_models


class Optional(HalfPlusTwo):
    """Keeps the options it was given."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".optional" and path.is_file()

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> Any:
        self.options = options
        return 2.0


def loaded(path: Path, runtimes: Runtimes, **wanted: Any) -> str:
    """Which file below ``path`` was loaded."""
    with mlbuffet.load(path, runtimes=runtimes, **wanted) as model:
        return model.path.relative_to(path).as_posix()


@pytest.mark.parametrize(
    ("files", "artifact"),
    [
        (["1/x.half", "2/x.half", "10/x.half"], "10/x.half"),
        (["0/x.half"], "0/x.half"),
        (["00000123/x.half", "9/x.half"], "00000123/x.half"),
        ([f"{LARGEST}/x.half", f"{2**63}/x.half"], f"{LARGEST}/x.half"),
        (["1/x.half", "2/x.half", ".default=1\n"], "1/x.half"),
        (["0/x.half", "2/x.half", ".default=0"], "0/x.half"),
        (["1/x.half", "2/x.half", ".default=9"], "2/x.half"),
        (["1/x.half", "2/x.half", "model.toml=versions = [1]"], "1/x.half"),
        (["1/x.half", "2/x.half", "model.toml=versions = [2]", ".default=1"], "1/x.half"),
        (["1/deep/x.half", "1/notes.txt"], "1/deep/x.half"),
        (["x.half"], "x.half"),
        (["x.half", "readme.txt"], "x.half"),
        (["deep/deeper/x.half"], "deep/deeper/x.half"),
        (["v1/x.half"], "v1/x.half"),
    ],
)
def test_the_default_version_or_the_only_artifact_is_loaded(
    tmp_path: Path, runtimes: Runtimes, files: list[str], artifact: str
) -> None:
    write_models(tmp_path, {name: text or "half" for name, _, text in (file.partition("=") for file in files)})
    assert loaded(tmp_path, runtimes) == artifact


def test_the_only_artifact_may_be_a_folder(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, {"f.echo/data": "FP32"})
    with pytest.raises(LoadFailed, match=r"/f\.echo' cannot be loaded by the runtime 'echo'"):  # which reads files
        loaded(tmp_path, runtimes)


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["one.half", "two.half"], ["one.half", "two.half"]),
        (["one.half", "two.echo"], ["one.half", "two.echo"]),
        (["v1/x.half", "v2/x.half"], ["v1", "v2"]),
        (["iris/1/x.half", "wine/x.half"], ["iris", "wine"]),
        (["iris/1/x.half", "wine/x.half", "notes/a.txt", "b.txt"], ["iris", "wine"]),
    ],
)
def test_a_folder_with_several_names_them(
    tmp_path: Path, runtimes: Runtimes, files: list[str], names: list[str]
) -> None:
    write_models(tmp_path, dict.fromkeys(files, "half"))
    with pytest.raises(NotOneArtifact) as caught:
        loaded(tmp_path, runtimes)
    assert [one.name for one in caught.value.inside] == names
    assert all(repr(name) in str(caught.value) for name in names)
    assert str(tmp_path) not in caught.value.public


def test_what_a_model_toml_says_counts_and_what_a_caller_says_goes_before(tmp_path: Path, runtimes: Runtimes) -> None:
    plugin = Optional()
    runtimes.register(plugin, name="optional")
    toml = 'runtime = "optional"\nsignature = "both"\noptions = {a = 1, b = 2}'
    write_models(tmp_path, {"1/x.half": "half", "1/y.optional": "", "model.toml": toml})
    with mlbuffet.load(tmp_path, runtimes=runtimes, options={"b": 3}) as model:
        assert (model.path, model.signatures.default) == (tmp_path / "1/y.optional", "both")
    assert plugin.options == {"a": 1, "b": 3}
    with mlbuffet.load(tmp_path, runtimes=runtimes, runtime="half") as model:
        assert (model.path, model.runtime.name) == (tmp_path / "1/x.half", "half")
    loaded(tmp_path / "1/y.optional", runtimes)
    assert plugin.options == {}


def test_a_folder_with_artifacts_of_two_runtimes_names_both_though_one_takes_such_folders(
    tmp_path: Path, runtimes: Runtimes
) -> None:
    class OfFolder(Optional):
        @hookimpl
        def accepts(self, path: Path) -> bool:
            return path.suffix == ".optional" or any(path.glob("*.optional"))

    runtimes.register(OfFolder(), name="folder")
    write_models(tmp_path, {"x.optional": "", "notes.txt": ""})
    assert loaded(tmp_path, runtimes) == "."
    write_models(tmp_path, {"y.half": "half"})
    with pytest.raises(NotOneArtifact, match=r"it holds 'x\.optional', 'y\.half'"):
        loaded(tmp_path, runtimes)
    assert loaded(tmp_path, runtimes, runtime="folder") == "."


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"1/x.half": "half", "model.toml": "runtim = 1"}, InvalidConfiguration, "unknown key 'runtim'"),
        ({"1/x.half": "half", "model.toml": "versions = [3]"}, InvalidConfiguration, "none of those .* is selected: 1"),
        ({"1/x.half": "half", "model.toml": "signature = 'no'"}, LoadFailed, "there is no signature 'no'"),
        ({"1/x.half": "half", "01/x.half": "half"}, DuplicateModel, "two artifacts are version 1"),
        ({"1/x.half": "corrupt", "0/x.half": "half"}, LoadFailed, "/1/x.half' cannot be loaded"),
        ({"1/notes.txt": "?"}, NoRuntime, "/1'; asked: echo, half"),
        ({"notes.txt": "?"}, NoRuntime, "asked: echo, half"),
        ({"model.toml": ""}, NoRuntime, "asked: echo, half"),
    ],
)
def test_what_is_wrong_with_a_model_is_said(
    tmp_path: Path, runtimes: Runtimes, files: dict[str, str], error: type[Exception], message: str
) -> None:
    write_models(tmp_path, files)
    with pytest.raises(error, match=message):
        loaded(tmp_path, runtimes)


def test_a_runtime_that_is_named_gets_a_folder_that_it_does_not_accept(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, {"data.bin": "half"})
    with pytest.raises(LoadFailed, match=f"'{tmp_path}' cannot be loaded by the runtime 'half'"):
        loaded(tmp_path, runtimes, runtime="half")


@pytest.mark.parametrize("options", [["a"], "threads", 3])
def test_options_are_values_by_name(tmp_path: Path, runtimes: Runtimes, options: Any) -> None:
    for path in (write_models(tmp_path, {"m/x.half": "half"}) / "m", tmp_path / "m/x.half"):
        with pytest.raises(TypeError, match=f"options are values by name, .*, not {type(options).__name__}"):
            mlbuffet.load(path, runtimes=runtimes, options=options)


def test_the_defaults_of_a_runtime_are_for_models_that_give_no_such_option(tmp_path: Path) -> None:
    runtimes = runtimes_with_options()
    runtimes["scale"].default_options = {"factor": 3, "library": "operators.so"}
    write_models(tmp_path, {"a.scale": "", "a.shift": ""})
    for name, options, expected in (("a.scale", {}, 6), ("a.scale", {"factor": 4}, 8), ("a.shift", {"offset": 1}, 3)):
        with mlbuffet.load(tmp_path / name, runtimes=runtimes, options=options) as model:
            assert model.predict({"x": [2.0]})["y"].tolist() == [expected]


@pytest.mark.parametrize("written", [".", "..", "deep/..", "deep/../../m"])
@pytest.mark.parametrize("files", [["1/x.half"], ["x.half"]])
def test_a_model_is_called_after_its_folder_however_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtimes: Runtimes, files: list[str], written: str
) -> None:
    write_models(tmp_path, {f"m/{name}": "half" for name in (*files, "deep/.keep")})
    monkeypatch.chdir(tmp_path / ("m/deep" if written == ".." else "m"))
    with mlbuffet.load(written, runtimes=runtimes) as model:
        assert model.name == "m"

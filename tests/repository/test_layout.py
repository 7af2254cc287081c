"""What a person puts into a folder is what is served, under the name that person expects."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mlbuffet import ArtifactNotFound, InvalidModelName, NoModels, Runtimes, UnknownRuntime
from mlbuffet.repository import find_models

Found = list[tuple[str, int, str]]


@pytest.fixture
def found(tmp_path: Path, runtimes: Runtimes) -> Callable[..., Found]:
    """A function that makes files below a folder ``models`` and says what is found in one of its folders."""

    def make_and_find(*files: str, at: str = "models", runtime: str | None = None) -> Found:
        for name in files:
            path = tmp_path / "models" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half")
        root = tmp_path / at
        return [
            (stored.name, stored.version, stored.path.relative_to(root).as_posix())
            for model in find_models(root, runtimes, runtime)
            for stored in model.versions
        ]

    return make_and_find


def test_a_file_is_a_model_named_after_itself(found: Callable[..., Found]) -> None:
    assert found("iris.half", at="models/iris.half") == [("iris", 1, ".")]


def test_a_folder_holds_models_in_three_layouts(found: Callable[..., Found]) -> None:
    assert found("a/1/x.half", "a/002/model.half", "b/whatever.half", "c.half") == [
        ("a", 1, "a/1/x.half"),
        ("a", 2, "a/002/model.half"),
        ("b", 1, "b/whatever.half"),
        ("c", 1, "c.half"),
    ]


def test_a_folder_with_one_named_artifact_is_a_folder_of_models(found: Callable[..., Found]) -> None:
    assert found("iris.half") == [("iris", 1, "iris.half")]


def test_an_artifact_called_model_is_named_after_its_folder(found: Callable[..., Found]) -> None:
    assert found("model.half") == [("models", 1, "model.half")]


def test_a_folder_with_numbered_versions_is_one_model(found: Callable[..., Found]) -> None:
    assert found("2/x.half", "10/x.half") == [("models", 2, "2/x.half"), ("models", 10, "10/x.half")]


def test_a_runtime_may_accept_the_folder_itself(found: Callable[..., Found]) -> None:
    assert found("f.echo/data.txt", at="models/f.echo") == [("f.echo", 1, ".")]
    assert found("f.echo/data.txt") == [("f.echo", 1, "f.echo")]


def test_hidden_files_are_passed_over_and_strays_are_logged(
    found: Callable[..., Found], caplog: pytest.LogCaptureFixture
) -> None:
    assert found("a.half", ".hidden.half", ".git/x.half", "readme.txt", "bad name.half", "v1/x.half") == [
        ("a", 1, "a.half"),
        ("v1", 1, "v1/x.half"),
    ]
    assert "readme.txt': no runtime accepts it" in caplog.text
    assert "'bad name' cannot be a model's name" in caplog.text
    assert ".hidden" not in caplog.text


def test_a_folder_that_no_runtime_accepts_is_a_model_whose_loading_says_why(found: Callable[..., Found]) -> None:
    assert found("a.half", "b/what.bin", "c/1/what.bin", "d/one.half", "d/two.half") == [
        ("a", 1, "a.half"),
        ("b", 1, "b"),
        ("c", 1, "c/1"),
        ("d", 1, "d"),
    ]


def test_a_folder_with_nothing_to_load_says_what_was_expected(found: Callable[..., Found]) -> None:
    with pytest.raises(NoModels, match=r"asked: echo, half, sleep\. Expected an artifact, or a folder with"):
        found("notes.txt", "src/main.py")


def test_nothing_at_the_path_is_said_so(found: Callable[..., Found]) -> None:
    with pytest.raises(ArtifactNotFound):
        found(at="missing")


@pytest.mark.parametrize("name", ["bad name.half", "_x.half", "ä.half", "a" * 129 + ".half"])
def test_a_name_that_cannot_be_an_address_is_refused(found: Callable[..., Found], name: str) -> None:
    with pytest.raises(InvalidModelName, match="Rename the file or folder"):
        found(name, at=f"models/{name}")


def test_a_runtime_that_is_named_takes_a_folder_it_does_not_accept(found: Callable[..., Found]) -> None:
    assert found("data.bin", runtime="half") == [("models", 1, ".")]


def test_a_runtime_that_is_named_leaves_the_files_of_others_to_them(found: Callable[..., Found]) -> None:
    assert found("a.half", "b.echo", runtime="echo") == [("a", 1, "a.half"), ("b", 1, "b.echo")]
    with pytest.raises(UnknownRuntime):
        found(runtime="nope")

"""One digest for what was loaded, wherever it lies, and another for anything else."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mlbuffet import Model, Runtimes, load
from mlbuffet.repository import Configuration, find_models
from mlbuffet.repository.content import load_with_content
from mlbuffet.repository.load_settings import load_settings

PLAIN = Configuration()
SETTINGS = load_settings(Path(), PLAIN, None, {}, None)


def content(root: Path, runtimes: Runtimes, configuration: Configuration = PLAIN) -> bytes:
    """That of the model ``m``."""
    (model,) = [one for one in find_models(root, runtimes) if one.name == "m"]
    (stored,) = model.versions
    settings = load_settings(stored.folder, configuration, None, {}, None)
    return load_with_content(lambda: load(stored.path, runtimes=runtimes), stored, settings)[1]


def copies(tmp_path: Path, layout: str, text: str = "half") -> tuple[Path, Path]:
    """Two folders with one model each."""
    for folder in ("a", "b"):
        path = tmp_path / folder / layout
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path / "a", tmp_path / "b"


@pytest.mark.parametrize("layout", ["m.half", "m/model.half", "m/3/model.half"])
def test_what_else_lies_there_counts_and_what_does_not_belong_to_it_does_not(
    tmp_path: Path, runtimes: Runtimes, layout: str
) -> None:
    one, other = copies(tmp_path, layout)
    assert content(one, runtimes) == content(other, runtimes)
    beside = (other / layout).parent
    (beside / ".hidden").touch()
    if layout != "m.half":
        (beside / "model.toml").touch()
    assert content(one, runtimes) == content(other, runtimes)
    weights = beside / ("m.half.data" if layout == "m.half" else "weights.bin")
    weights.write_text("1")
    first = content(other, runtimes)
    assert first != content(one, runtimes)
    weights.write_text("2")
    assert content(other, runtimes) not in (first, content(one, runtimes))


def test_a_file_that_moves_its_bytes_to_another_is_other_content(tmp_path: Path, runtimes: Runtimes) -> None:
    one, other = copies(tmp_path, "m/1/model.half")
    (one / "m/1/a").write_text("12")
    (one / "m/1/b").write_text("3")
    (other / "m/1/a").write_text("1")
    (other / "m/1/b").write_text("23")
    assert content(one, runtimes) != content(other, runtimes)


def test_options_count(tmp_path: Path, runtimes: Runtimes) -> None:
    one, other = copies(tmp_path, "m.half")
    with_options = Configuration(options={"a": 1, "b": [2]})
    assert content(one, runtimes, with_options) != content(one, runtimes)
    assert content(one, runtimes, with_options) == content(other, runtimes, Configuration(options={"b": [2], "a": 1}))


def test_what_changes_while_it_is_loaded_has_a_digest_of_its_own(tmp_path: Path, runtimes: Runtimes) -> None:
    root, _ = copies(tmp_path, "m.half")
    (model,) = find_models(root, runtimes)
    (stored,) = model.versions

    def load_and_change() -> Model:
        loaded = load(stored.path, runtimes=runtimes)
        os.utime(stored.path)
        return loaded

    digests = {load_with_content(load_and_change, stored, SETTINGS)[1] for _ in range(2)}
    assert len(digests | {content(tmp_path / "b", runtimes)}) == 3


def test_a_version_without_a_fingerprint_has_a_digest_too(tmp_path: Path, runtimes: Runtimes) -> None:
    root, _ = copies(tmp_path, "m.half")
    (model,) = find_models(root, runtimes)
    stored = replace(model.versions[0], fingerprint=None)
    found = load_with_content(lambda: load(stored.path, runtimes=runtimes), stored, SETTINGS)[1]
    assert found == content(root, runtimes)

"""What plugins find in `mlbuffet.hookspecs` besides the hooks."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import mlbuffet
from mlbuffet import LoadFailed, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.errors import reason_in
from mlbuffet.hookspecs import HandleHooks, first_bytes, importing

SIGNATURES = Signatures({"serving_default": Signature([], [TensorSpec("y", "float32", ())])})


class Handled(HandleHooks):
    """A runtime whose handles answer the other hooks."""

    def __init__(self, handle: object) -> None:
        self.handle = handle

    @hookimpl
    def accepts(self) -> bool:
        """Whatever there is."""
        return True

    @hookimpl
    def load(self) -> object:
        """The handle."""
        return self.handle

    @hookimpl
    def predict(self) -> Tensors:
        """Nothing."""
        return {}


@pytest.mark.parametrize("concurrency", [None, 3])
def test_a_handle_answers_the_hooks_itself(tmp_path: Path, concurrency: int | None) -> None:
    closed: list[bool] = []
    known = {} if concurrency is None else {"concurrency": concurrency, "close": lambda: closed.append(True)}
    runtimes = mlbuffet.Runtimes()
    runtimes.register(Handled(SimpleNamespace(signatures=SIGNATURES, **known)), name="handled")
    with mlbuffet.load(tmp_path, runtimes=runtimes) as model:
        assert model.signatures is SIGNATURES
        assert model.concurrency == concurrency
    assert closed == ([] if concurrency is None else [True])


def test_a_framework_that_is_missing_is_told_with_the_command_that_installs_it() -> None:
    advice = "sklearn cannot be imported here; install it with: pip install 'skops'"
    with pytest.raises(LoadFailed, match=advice) as told, importing("sklearn", "skops"):
        raise ImportError("No module named 'sklearn'")
    assert told.value.detail == "No module named 'sklearn'"


def test_the_first_bytes_of_what_is_no_file_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"GGUF and more")
    assert first_bytes(tmp_path / "file", 4) == b"GGUF"
    assert first_bytes(tmp_path) == first_bytes(tmp_path / "none") == b""


def test_a_reason_has_the_groups_of_its_pattern() -> None:
    reasons = {r"opset (\d+)": "opset {0}, and {this} knows others", r"operator (?P<name>\w+)": "no operator {name}"}
    assert reason_in("bad\nopset 99", reasons, this="it") == "opset 99, and it knows others"
    assert reason_in("operator Foo", reasons, this="it") == "no operator Foo"
    assert reason_in("else", reasons) is None

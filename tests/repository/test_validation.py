"""A model is tried in a process of its own: what becomes of that process is told, and it ends with the server."""

import os
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dangerous_runtimes import Dangerous
from misbehaving import Misbehaving
from mlbuffet import AmbiguousRuntime, LoadFailed, NoRuntime, Runtimes, hookimpl
from mlbuffet.isolation.process_settings import ProcessSettings
from mlbuffet.repository import Configuration
from mlbuffet.repository.configuration import WarmUp
from mlbuffet.repository.load_settings import load_settings
from mlbuffet.repository.validation import validate
from pipelines import pipeline_runtimes
from small_runtimes import write_models
from uploading import some_runtimes

HANG = """
import sys
from pathlib import Path
from mlbuffet.repository import Configuration
from mlbuffet.repository.validation import validate
from uploading import some_runtimes
validate(Path(sys.argv[1]), Configuration(), some_runtimes())
"""


class Greedy(Dangerous):
    """Accepts everything."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return True


def artifact(folder: Path, text: str) -> Path:
    path = folder / "x.danger"
    path.write_text(text)
    return path


def test_a_model_that_can_be_loaded_passes_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    for text, reason in (("fine", ""), ("refuse", "does not want"), ("crash", "crashed"), ("exit", "ended before")):
        if not reason:
            validate(artifact(tmp_path, text), Configuration(), some_runtimes())
            continue
        with pytest.raises(LoadFailed, match=reason):
            validate(artifact(tmp_path, text), Configuration(), some_runtimes())
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_the_process_says_is_kept_from_clients(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed) as refused:
        validate(artifact(tmp_path, "refuse"), Configuration(), some_runtimes())
    assert "a secret of" in str(refused.value)
    assert "secret" not in refused.value.public
    with pytest.raises(LoadFailed) as crashed:
        validate(artifact(tmp_path, "crash"), Configuration(), some_runtimes())
    assert "Fatal Python error: Aborted" in str(crashed.value)
    assert "Fatal" not in crashed.value.public


def test_warm_up_and_options_are_tried_too(tmp_path: Path) -> None:
    configuration = Configuration(warmup=WarmUp(inputs={"x": "text"}))
    with pytest.raises(LoadFailed, match="'warmup': input 'x' holds 'text'"):
        validate(artifact(tmp_path, "fine"), configuration, some_runtimes())


def test_the_runtime_is_chosen_before_a_process_is_started(tmp_path: Path) -> None:
    runtimes = some_runtimes()
    with pytest.raises(NoRuntime):
        validate(tmp_path, Configuration(), runtimes)
    runtimes.register(Greedy, name="greedy")
    with pytest.raises(AmbiguousRuntime):
        validate(artifact(tmp_path, "crash"), Configuration(), runtimes)


def test_the_process_ends_with_the_server(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", HANG, str(artifact(tmp_path, "hang"))],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    deadline = time.monotonic() + 20
    while not (children := psutil.Process(server.pid).children()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(1)
    assert children[0].is_running()
    server.kill()
    server.wait()
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert (len(gone), alive) == (1, [])


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ("b", ""),
        ("b c", ""),
        ("lost", "it calls the model 'lost', and there is none of that name beside it"),
        ("bad", "it calls the model 'bad', which is not ready: the model cannot be loaded"),
        ("a", "the models call each other in a circle: a -> a"),
        ("back", "the models call each other in a circle: a -> back -> a"),
    ],
)
def test_a_model_is_tried_with_those_that_it_calls(tmp_path: Path, calls: str, reason: str) -> None:
    models = {"a/1/a.half": "half", "b.half": "half", "c.pipe": "b", "bad.half": "corrupt", "back.pipe": "a"}
    write_models(tmp_path, {**{f"models/{name}": text for name, text in models.items()}, "tried/a.pipe": calls})
    with pytest.raises(LoadFailed, match=reason) if reason else nullcontext():
        validate(
            tmp_path / "tried/a.pipe",
            Configuration(warmup=WarmUp(inputs={"x": [1]})),
            pipeline_runtimes(),
            folder=tmp_path / "models/a",
            beside=[tmp_path / "models"],
        )


@pytest.mark.parametrize(
    ("is_upload", "toml", "written"),
    [(True, None, False), (True, ProcessSettings(confined=False), True), (False, None, True)],
)
def test_an_upload_that_is_tried_writes_nothing(
    tmp_path: Path, toml: ProcessSettings | None, *, is_upload: bool, written: bool
) -> None:
    path = tmp_path / "x.bad"
    path.write_text(f"write {tmp_path / 'new'}")
    runtimes = Runtimes()
    runtimes.register(Misbehaving, name="bad")
    configuration = Configuration(process=toml)
    settings = replace(load_settings(tmp_path, configuration, None, {}, None), is_upload=is_upload)
    validate(path, configuration, runtimes, settings=settings)
    assert (tmp_path / "new").exists() == written

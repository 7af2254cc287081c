"""An upload brings Python code only where the operator allows it; pipelines bring none."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlbuffet
from mlbuffet import LoadFailed, Runtimes
from mlbuffet.repository.received_upload import PROVENANCE_FILE
from mlbuffet_pipeline.plugin import PipelineRuntime
from mlbuffet_python._uploads import UPLOADS
from mlbuffet_python.plugin import PythonRuntime
from python_models import write_model
from uploading import RunApp, Uploading, uploading, zipped

DOUBLE = '@signature\ndef f(self, x: Float32["batch"]) -> {"y": Float32["batch"]}:\n    return {"y": x * 2}'
PIPELINE = '[steps.double]\ninputs = {x = "x"}\n[outputs]\ny = "double.y"\n'


@pytest.fixture
def server(tmp_path: Path, run_app: RunApp) -> Iterator[Uploading]:
    """A server of the model ``double``, with the runtimes of Python and pipelines."""
    runtimes = Runtimes()
    runtimes.register(PythonRuntime(), name="python")
    runtimes.register(PipelineRuntime(), name="pipeline")
    write_model(tmp_path / "models" / "double", DOUBLE)
    with uploading(tmp_path / "models", run_app, runtimes=runtimes) as server:
        yield server


def archive(tmp_path: Path) -> bytes:
    """A zip of a model that leaves a file where its code is run, but in its trial, which may write temporary ones."""
    text = (write_model(tmp_path / "sent", DOUBLE) / "model.py").read_text()
    ran = f"pathlib.Path({str(tmp_path / 'ran')!r}).touch()"
    text += f"\nimport contextlib, pathlib\nwith contextlib.suppress(OSError): {ran}\n"
    return zipped({"model.py": text.encode()})


def test_python_in_an_upload_is_not_run(server: Uploading, tmp_path: Path) -> None:
    content = archive(tmp_path)
    with zipfile.ZipFile(io.BytesIO(content)) as sent:
        alone = sent.read("model.py")
    for file in (("new.zip", content), ("model.py", alone)):
        answer = server.push("new", file)
        assert answer.status_code == 422
        assert "Python code that came with an upload" in answer.json()["error"]
        assert f"{UPLOADS}=1" in answer.json()["error"]
    assert not (tmp_path / "ran").exists()


def test_whoever_starts_the_server_may_allow_it(
    server: Uploading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(UPLOADS, "1")
    assert server.push("new", ("new.zip", archive(tmp_path))).status_code == 201
    answer = server.client.post("/v1/models/new:predict", json={"instances": [1, 2]})
    assert answer.json() == {"predictions": [2, 4]}
    assert (tmp_path / "ran").exists()
    monkeypatch.delenv(UPLOADS)
    for path in ("new", "new/1"):  # what was stored then is refused without it
        with pytest.raises(LoadFailed, match="came with an upload"):
            mlbuffet.load(tmp_path / "models" / path)
    provenance = tmp_path / "models" / "new" / "1" / PROVENANCE_FILE
    provenance.write_text('{"file": "new.zip", "time": "", "runtime": "pipeline", "options": {"threads": 1}}')
    with pytest.raises(LoadFailed, match="came with an upload"):
        mlbuffet.load(tmp_path / "models" / "new", runtime="python")
    provenance.write_text("damaged")
    with pytest.raises(LoadFailed, match="came with an upload"):
        mlbuffet.load(tmp_path / "models" / "new")


def test_a_pipeline_may_be_uploaded_and_is_tried_with_the_models_that_are_served(server: Uploading) -> None:
    answer = server.push("joined", ("joined.zip", zipped({"pipeline.toml": PIPELINE.encode()})))
    assert answer.status_code == 201, answer.text
    assert server.client.post("/v1/models/joined:predict", json={"instances": [1]}).json() == {"predictions": [2]}
    wrong = PIPELINE.replace("x = ", "z = ").encode()
    answer = server.push("wrong", ("wrong.zip", zipped({"pipeline.toml": wrong})))
    assert answer.status_code == 422
    assert "the step 'double': there is no input 'z'" in answer.json()["error"]


def test_python_that_lies_within_an_upload_is_not_run_wherever_a_path_leads(tmp_path: Path) -> None:
    uploaded = tmp_path / "models" / "evil" / "1"
    write_model(uploaded / "sub" / "p", DOUBLE)
    (uploaded / PROVENANCE_FILE).write_text("{}")
    runtimes = Runtimes()
    runtimes.register(PythonRuntime(), name="python")
    for path in (uploaded / "sub" / "p", uploaded / "sub" / "p" / ".." / "p"):
        with pytest.raises(LoadFailed, match="Python code that came with an upload"):
            mlbuffet.load(path, runtimes=runtimes)

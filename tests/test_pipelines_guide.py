"""The page on pipelines: its files are those of the example, and what it says to send is answered as it shows."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "pipeline"
GUIDE = (ROOT / "docs" / "pipelines.md").read_text()
FILES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', GUIDE, re.MULTILINE | re.DOTALL))
ONLY_SHOWN = {"models/both/model.py"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With what the page shows."""
    folder = tmp_path_factory.mktemp("guide")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path, serve: Any, installed: Any) -> Iterator[httpx.Client]:
    with serve(folder / "models", runtimes=installed) as client:
        yield client


def test_the_files_of_the_page_are_those_of_the_example() -> None:
    there = {str(path.relative_to(EXAMPLE)) for path in EXAMPLE.rglob("*") if path.suffix in (".py", ".toml")}
    assert there == FILES.keys() - ONLY_SHOWN
    assert all((EXAMPLE / name).read_text() == FILES[name] for name in there)


def test_what_the_page_sends_is_answered_as_it_shows(client: httpx.Client) -> None:
    sent = re.findall(r"curl http://127\.0\.0\.1:8000(\S+) -d '(.*?)'", GUIDE, re.DOTALL)
    shown = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    assert [path.split("/")[1] for path, _ in sent] == ["v1", "v2"]
    for (path, body), wanted in zip(sent, shown, strict=True):
        answer = client.post(path, content=body)
        assert answer.status_code == 200, answer.text
        assert answer.json() == httpx.Response(200, content=wanted).json()


def test_the_signature_is_as_the_page_says(client: httpx.Client) -> None:
    facts = client.get("/v2/models/ticket").json()
    shapes = {one["name"]: (one["datatype"], one["shape"]) for one in (*facts["inputs"], *facts["outputs"])}
    assert shapes == {"message": ("BYTES", [-1]), "topic": ("BYTES", [-1]), "urgent": ("BOOL", [-1])}
    assert "patience" in str(facts)


def test_the_model_that_calls_others_answers(client: httpx.Client) -> None:
    answer = client.post("/v1/models/both:predict", json={"instances": ["thank you"]}).json()
    assert {name: len(chances) for name, chances in answer["predictions"][0].items()} == {"topic": 2, "tone": 2}


@pytest.mark.parametrize("path", ["models/ticket", "models/ticket/"])
def test_its_command_prints_what_it_shows(folder: Path, path: str) -> None:
    ((command, shown),) = re.findall(r"^\$ (echo .*)\n(\{.*)$", GUIDE, re.MULTILINE)
    command = command.replace(
        "mlbuffet predict models/ticket", f"{shlex.quote(sys.executable)} -m mlbuffet predict {path}"
    )
    ran = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == shown

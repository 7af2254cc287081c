"""What docs/embedding.md shows runs, and it names every setting."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlbuffet.server.embedding import ApplicationOptions
from programs import output_of, served_by_uvicorn

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "embedding.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
MOUNTED = [program for program in PROGRAMS if "/ml" in program]
FLOWER = {"inputs": [{"name": "measurements", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model iris in ``models``."""
    folder = tmp_path_factory.mktemp("program")
    script = ROOT / "examples" / "train_iris_onnx.py"
    subprocess.run([sys.executable, script, folder / "models/iris/1"], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("program", MOUNTED, ids=["FastAPI", "FastAPI with the lifespan", "Litestar"])
def test_mounted_it_answers_below_its_path(folder: Path, program: str) -> None:
    with served_by_uvicorn(program, folder, ready="/ml/v2/models/iris/ready") as client:
        answer = client.post("/ml/v2/models/iris/infer", json=FLOWER).json()
        assert "setosa" in str(answer["outputs"])
        assert client.get("/ml/openapi.json").json()["servers"] == [{"url": "/ml"}]


def test_a_factory_serves_it(folder: Path) -> None:
    (program,) = (one for one in PROGRAMS if "def app()" in one)
    with served_by_uvicorn(program, folder, "--factory", ready="/v2/models/iris/ready") as client:
        assert client.post("/v2/models/iris/infer", json=FLOWER).status_code == 200


def test_a_route_calls_a_repository(folder: Path) -> None:
    (program,) = (one for one in PROGRAMS if "/flower" in one)
    with served_by_uvicorn(program, folder, ready="/docs") as client:
        assert client.post("/flower", json=[5.1, 3.5, 1.4, 0.2]).json() == "setosa"
        refused = client.post("/flower", json=[5.1, 3.5, 1.4])
        assert refused.status_code == 400
        assert "input 'measurements' has shape (1, 3)" in refused.json()["detail"]


def test_a_program_without_http_calls_it(folder: Path) -> None:
    (program,) = (one for one in PROGRAMS if "reload()" in one)
    printed, complaints = output_of(program, folder=folder)
    assert (printed, complaints) == ("[b'setosa']\niris [(1, 'READY', '')]\n[b'virginica']\n", "")


def test_every_setting_is_in_a_table() -> None:
    rows = "".join(re.findall(r"^\|.*\|$", GUIDE, re.MULTILINE))
    assert not [name for name in ApplicationOptions.__annotations__ if f"`{name}`" not in rows]
    assert len(PROGRAMS) == 6

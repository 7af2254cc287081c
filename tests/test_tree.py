"""The tree keeps the shape that makes it work."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import mlbuffet

ROOT = Path(__file__).parents[1]
RUNTIMES = (
    "onnx",
    "tensorflow",
    "xgboost",
    "lightgbm",
    "catboost",
    "sklearn",
    "torch",
    "openvino",
    "litert",
    "python",
    "pipeline",
    "jax",
)


def test_no_folder_shadows_a_framework() -> None:
    for folder in ("core", "plugins", *(f"plugins/{name}" for name in RUNTIMES)):
        assert not (ROOT / folder / "__init__.py").exists()
    assert not any((ROOT / "tests" / name).exists() for name in RUNTIMES)


def test_the_runtimes_arrive_by_their_entry_points_alone() -> None:
    names = {entry_point.name for entry_point in entry_points(group="mlbuffet")}
    assert set(RUNTIMES) <= names
    for path in (ROOT / "core").rglob("*.py"):
        assert not re.search(
            rf"^\s*(import|from) (mlbuffet_|({'|'.join(RUNTIMES)})\b)", path.read_text(), re.MULTILINE
        ), path


@pytest.mark.parametrize("plugin", RUNTIMES)
def test_a_plugin_pins_the_core_by_its_contract(plugin: str) -> None:
    project = tomllib.loads((ROOT / "plugins" / plugin / "pyproject.toml").read_text())["project"]
    assert "mlbuffet>=1,<2" in project["dependencies"]


@pytest.mark.parametrize(
    "code",
    [
        "import mlbuffet",
        "import mlbuffet; mlbuffet.Runtimes().discover()",
        "import mlbuffet; r = mlbuffet.Runtimes(); r.discover(); p = __import__('pathlib').Path; "
        "names = ('.', 'a.onnx', 'saved_model.pb', 'a.json', 'a.txt', 'a.xml', 'a.tflite', 'a.pt2'); "
        "assert not any(x.accepts(p(name)) for x in r for name in names)",
        "import mlbuffet.server, mlbuffet.cli.serving",
    ],
)
def test_no_framework_is_imported_before_a_model_is_loaded(code: str) -> None:
    heavy = (*RUNTIMES, "ai_edge_litert", "keras", "onnxruntime", "pandas", "pytest")
    check = f"; import sys; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_command_that_lists_the_runtimes_imports_no_repository_and_no_event_loop() -> None:
    heavy = ("asyncio", "anyio", "starlette", "httpx", "mlbuffet.repository", "mlbuffet.scheduling")
    program = (
        "import sys, atexit; from mlbuffet.cli import main; sys.argv[1:] = ['runtimes']\n"
        f"atexit.register(lambda: print([name for name in {heavy} if name in sys.modules]))\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_a_program_that_loads_a_model_imports_no_server_and_no_event_loop() -> None:
    heavy = ("asyncio", "anyio", "starlette", "uvicorn", "concurrent.futures", "msgspec", "mlbuffet.repository")
    program = (
        "import sys, mlbuffet; mlbuffet.Model.predict_async\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
        "print(mlbuffet.Repository.__module__, 'starlette' in sys.modules, mlbuffet.create_app.__module__)\n"
        "print(set(mlbuffet.__all__) - set(dir(mlbuffet)), mlbuffet.create_app is mlbuffet.create_app)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        "[]",
        "mlbuffet.inference.repository False mlbuffet.server.embedding",
        "set() True",
    ]


def test_a_name_that_mlbuffet_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'mlbuffet' has no attribute 'lost'"):
        mlbuffet.lost  # type: ignore[attr-defined]  # noqa: B018


def test_a_server_imports_nothing_that_it_does_not_need() -> None:
    needless = (
        "mlbuffet.testing",
        "numpy.random",
        "fsspec",
        "httpx",
        "pydantic",
    )
    code = f"import sys, mlbuffet.cli.serving; print([name for name in {needless} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_nothing_tracked_names_this_machine_or_an_index() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    words = [str(ROOT), "pypi" + ".org", "pythonhosted" + ".org"]
    for name in tracked:
        text = (ROOT / name).read_text(errors="replace") if (ROOT / name).is_file() else ""
        assert not [word for word in words if word in text], name

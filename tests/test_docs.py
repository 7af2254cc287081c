"""Documents say what the code does: nothing is missing in them, and what they show runs."""

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import mlbuffet
from mlbuffet import Runtimes, errors, hookspecs, tensors
from mlbuffet.cli.commands import app
from mlbuffet.cli.reference import renewed
from mlbuffet.errors import MLBuffetError
from mlbuffet.repository import ModelRepository
from mlbuffet.server import create_app
from mlbuffet.server.http.errors import STATUS
from mlbuffet.server.http.model_guard import OPEN
from programs import output_of, served_by_uvicorn

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def document(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def test_every_hook_is_documented_with_its_arguments() -> None:
    text = document("hooks.md")
    for specification in (hookspecs.RuntimePlugin, hookspecs.OptionalHooks):
        hooks = {name: hook for name, hook in vars(specification).items() if hasattr(hook, "mlbuffet_spec")}
        assert hooks
        for name, hook in hooks.items():
            (shown,) = re.findall(rf"`{name}\((.*?)\) ->", text)
            arguments = re.sub(r": [\w\[\], ]+?(?=, \w+[:,]|, \w+$|$)", "", shown).split(", ")
            assert arguments == list(inspect.signature(hook).parameters)[1:]


def test_every_error_is_documented_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*?\| (\d*) ?\|", document("errors.md"), re.MULTILINE))
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert rows.keys() == {name for name, kind in kinds.items() if issubclass(kind, MLBuffetError)} - {"MLBuffetError"}
    for kind, status in STATUS.items():
        assert rows[kind.__name__] == str(status)


def test_every_attribute_of_an_error_is_documented() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\|(.*)\|$", document("errors.md"), re.MULTILINE))
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, MLBuffetError) and kind is not MLBuffetError:
            parameters = list(inspect.signature(kind.__init__).parameters)[1:]
            facts = [one for one in parameters if one not in ("args", "public")]
            assert re.findall(r"`(\w+)`", rows[name]) == facts, name


def test_every_public_name_is_documented() -> None:
    text = "\n".join(page.read_text() for page in ROOT.glob("docs/*.md"))
    assert [name for name in mlbuffet.__all__ if not re.search(rf"`(mlbuffet\.)?{name}\b", text)] == []


def test_what_a_plugin_imports_is_where_its_page_says() -> None:
    page = document("hooks.md").partition("## What a plugin imports")[2].partition("\n## ")[0]
    places = {
        hookspecs: [
            "hookimpl",
            "Request",
            "LoadContext",
            "CONTRACT",
            "HandleHooks",
            "first_bytes",
            "importing",
            "OtherModel",
        ],
        tensors: [
            *("ParameterSpec", "DEFAULT_SIGNATURE", "Features", "Categories", "specs_of_rows"),
            *("texts_in", "text_array", "shapes_text", "shape_text", "specs_text"),
        ],
    }
    for module, names in places.items():
        assert f"`{module.__name__}`" in page
        for name in names:
            assert f"`{name}`" in page
            assert name in module.__all__
            assert getattr(mlbuffet, name, getattr(module, name)) is getattr(module, name)


def test_every_public_attribute_of_what_programs_hold_is_documented() -> None:
    text = document("python.md")
    for kind in (mlbuffet.Runtimes, mlbuffet.RuntimeChoice):
        for name in vars(kind):
            assert name.startswith("_") or re.search(rf"\b{name}\b", text), name


def test_every_command_and_option_is_documented() -> None:
    text = document("cli.md")
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]  # a Typer with several commands is a group of them
    assert set(re.findall(r"^## mlbuffet (\w+)", text, re.MULTILINE)) == set(commands)
    for name, command in commands.items():
        section = text.split(f"## mlbuffet {name}")[1].split("\n## ")[0]
        for parameter in command.params:
            assert all(option in section for option in parameter.opts if option.startswith("--")), (
                name,
                parameter.name,
            )


def test_the_table_of_settings_is_that_of_the_command() -> None:
    page = document("cli.md")
    assert "MLBUFFET_PORT" in page
    assert renewed(page) == page, "make reference renews it"


def test_every_path_that_takes_no_token_is_documented() -> None:
    section = document("security.md").split("What stays open is")[1].split(". The token of")[0]
    assert set(re.findall(r"`(/.*?)`", section)) == OPEN


def test_every_route_is_documented() -> None:
    text = document("http.md")
    for route in create_app(ModelRepository(Runtimes())).routes:
        path = route.path  # type: ignore[attr-defined]  # all of them are routes with a path
        shorter = path.replace("/versions/{version}", "").replace("/labels/{label}", "")
        assert shorter in text
    assert "/v2/models/{model}/versions/{version}" in text


PAGES = [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md"), *ROOT.glob("plugins/*/README.md"), *ROOT.glob("benchmarks/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_file_that_the_architecture_names_is_there() -> None:
    core = ROOT / "core" / "mlbuffet"
    named = re.findall(r"[a-z_.]+(?:/[a-z_]+)+\.py", document("architecture.md"))
    assert len(named) > 30
    for name in named:
        assert list(core.rglob(name.removeprefix(".../"))) or (ROOT / name).exists(), name


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``make demo`` left the iris model."""
    folder = tmp_path_factory.mktemp("demo")
    script = ROOT / "examples" / "train_iris_onnx.py"
    subprocess.run([sys.executable, script, folder / "build/demo/models/iris/1"], check=True, capture_output=True)
    return folder


def blocks(language: str, text: str = README) -> Iterator[str]:
    yield from re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_python_of_the_readme_runs(demo: Path) -> None:
    code, _, _ = blocks("python")
    ran = subprocess.run([sys.executable, "-c", code], cwd=demo, check=True, capture_output=True, text=True)
    assert "onnx" in ran.stdout
    assert "[b'setosa']" in ran.stdout


def test_the_programs_of_the_readme_run(demo: Path) -> None:
    _, program, without_http = blocks("python")
    with served_by_uvicorn(program, demo, ready="/ml/v2/models/iris/ready") as client:
        flower = {"name": "measurements", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}
        assert '"setosa"' in client.post("/ml/v2/models/iris/infer", json={"inputs": [flower]}).text
    assert output_of(without_http, folder=demo) == ("[b'setosa']\n", "")


def test_the_blocks_of_the_page_for_programs_run(demo: Path) -> None:
    code = "\n".join(blocks("python", document("python.md")))
    ran = subprocess.run([sys.executable, "-c", code], cwd=demo, check=True, capture_output=True, text=True)
    first = "onnx build/demo/models/iris/1/model.onnx serving_default"
    for shown in (first, "{'label': array([b'setosa']", "tensorflow does not accept it"):
        assert shown in ran.stdout


def test_the_commands_of_the_readme_run(demo: Path) -> None:
    serve, curls, commands = blocks("sh")
    mlbuffet = f"{shlex.quote(sys.executable)} -m mlbuffet"
    server = subprocess.Popen(
        shlex.split(serve.replace("mlbuffet", mlbuffet, 1).replace("8000", "0")),
        cwd=demo,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout
    shown = ""
    while "serving on" not in shown:
        shown += server.stdout.readline()
    port = re.findall(r"127\.0\.0\.1:(\d+)", shown)[0]
    script = "set -e\n" + curls.replace("8000", port) + commands.replace("mlbuffet ", f"{mlbuffet} ")
    ran = subprocess.run(["bash", "-c", script], cwd=demo, capture_output=True, text=True, check=True)
    server.terminate()
    server.communicate(timeout=10)
    assert '"platform":"onnx_onnxv1"' in ran.stdout
    assert ran.stdout.count('"setosa"') == 2
    assert "mlbuffet-onnx" in ran.stdout

"""The tutorial "Write a runtime": what it shows is the example, and what it says to type works."""

import inspect
import re
import subprocess
from pathlib import Path

import pytest

from mlbuffet.hookspecs import OptionalHooks, RuntimePlugin
from mlbuffet.testing import RuntimeConformance

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "runtime-linear"
TUTORIAL = (ROOT / "docs" / "write-a-runtime.md").read_text()

TYPED_ELSEWHERE = {
    "pip install '/path/to/mlbuffet[testing]'",  # this environment has it
    "mlbuffet serve model.npz",  # tests/test_third_party.py serves it
    "curl http://127.0.0.1:8000/v2/models/model/infer -d "
    '\'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}\'',
    "pip install build twine",
    "python -m build",
    "python -m twine upload dist/*",
}


def blocks(language: str) -> list[tuple[str | None, str]]:
    """The title and the text of every block of code in ``language``."""
    found = re.findall(rf'^```{language}(?: title="([^"\n]*)")?\n(.*?)^```$', TUTORIAL, re.MULTILINE | re.DOTALL)
    return [(title or None, text) for title, text in found]


def shown_files() -> dict[str, str]:
    """Every file of the tutorial, its pieces in the order in which they are shown."""
    files: dict[str, str] = {}
    for language in ("toml", "python", "json"):
        for title, text in blocks(language):
            if title:
                files[title] = files.get(title, "") + text
    return files


def code(text: str) -> list[str]:
    """The lines of ``text`` without the empty ones, since pieces are shown with prose between them."""
    return [line for line in text.splitlines() if line.strip()]


def commands() -> list[tuple[str, list[str]]]:
    """What is typed at a console, and the lines that are shown below it."""
    typed: list[tuple[str, list[str]]] = []
    for line in "".join(text for _, text in blocks("console")).splitlines():
        if line.startswith("$ "):
            typed.append((line.removeprefix("$ "), []))
        elif line:
            typed[-1][1].append(line)
    return typed


def is_among(shown: str, output: str) -> bool:
    """Whether a line of ``output`` is ``shown``, in which ``...`` stands for anything and any space for any other."""
    pattern = ".*".join(r"\s+".join(map(re.escape, part.split())) for part in shown.split("..."))
    return any(re.fullmatch(pattern.replace(".*", r"\s*.*"), line.strip()) for line in output.splitlines())


@pytest.mark.parametrize("name", ["pyproject.toml", "mlbuffet_linear.py", "tests/test_linear.py"])
def test_the_files_of_the_tutorial_are_those_of_the_example(name: str) -> None:
    assert code(shown_files()[name]) == code((EXAMPLE / name).read_text())


def test_every_file_of_the_example_but_its_readme_is_shown() -> None:
    there = {str(path.relative_to(EXAMPLE)) for path in EXAMPLE.rglob("*") if path.is_file()}
    there = {name for name in there if "cache" not in name and name != "README.md"}
    assert there <= shown_files().keys()


def test_every_command_of_the_tutorial_works_from_an_empty_folder(elsewhere: dict[str, str], tmp_path: Path) -> None:
    for name, text in shown_files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "README.md").touch()
    for command, shown in commands():
        result = subprocess.run(
            command, shell=True, cwd=tmp_path, env=elsewhere, capture_output=True, text=True, check=False
        )
        output = result.stdout + result.stderr
        assert result.returncode == 0, f"$ {command}\n{output}"
        missing = [line for line in shown if not is_among(line, output)]
        assert not missing, f"$ {command}\n{output}"


def test_what_is_not_run_here_is_known() -> None:
    typed = "".join(text for _, text in blocks("sh")).replace("\\\n", "").splitlines()
    assert {" ".join(line.split()) for line in typed} == TYPED_ELSEWHERE


def test_the_tutorial_has_no_block_that_is_neither_shown_nor_run() -> None:
    untitled = [text for language in ("toml", "python", "json") for title, text in blocks(language) if not title]
    languages = set(re.findall(r"^```(\w+)", TUTORIAL, re.MULTILINE))
    assert not untitled
    assert languages <= {"toml", "python", "json", "console", "sh"}


@pytest.mark.parametrize("specification", [RuntimePlugin, OptionalHooks])
def test_every_hook_is_explained(specification: type) -> None:
    hooks = [name for name, value in vars(specification).items() if inspect.isfunction(value) and name[0] != "_"]
    assert hooks
    assert [name for name in hooks if f"`{name}`" not in TUTORIAL] == []


def test_every_setting_of_the_conformance_suite_is_explained() -> None:
    settings = {name for kind in RuntimeConformance.__mro__ for name in inspect.get_annotations(kind)}
    assert settings
    assert [name for name in settings if f"`{name}" not in TUTORIAL] == []

"""docs/deploy.md names what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/deploy.md").read_text()


def test_every_file_that_a_command_names_is_there() -> None:
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    named = re.findall(r"(?<![\w/])(deploy/[\w./-]+|\./plugins/\w+|constraints\.txt)", commands)
    assert len(named) > 6
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_place_in_the_unit_is_made_by_a_command() -> None:
    unit = (ROOT / "deploy/mlbuffet.service").read_text()
    configuration = (ROOT / "deploy/server.toml").read_text()
    for place in re.findall(r"(/(?:etc|opt|var)/[\w./-]*\w)", unit.partition("[Install]")[0] + configuration):
        known = place.removesuffix("/bin/mlbuffet")
        assert known in PAGE, place


def test_every_build_argument_is_documented() -> None:
    arguments = set(re.findall(r"^ARG (\w+)", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE))
    assert [name for name in arguments if name not in PAGE] == []


def test_every_file_of_deploy_is_documented() -> None:
    text = PAGE + "".join(path.read_text() for path in (ROOT / "deploy").rglob("*.y*ml"))
    for path in (ROOT / "deploy").iterdir():
        assert f"deploy/{path.name}" in PAGE or path.name in text, path

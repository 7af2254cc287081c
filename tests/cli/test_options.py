"""``--option``: who gets it, what it is, and what goes before it."""

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from mlbuffet import InvalidOptions, UnknownRuntime
from mlbuffet.cli.options import parse_options, parse_served_options
from processes import address_of, environment_with, serve
from runtimes_with_options import runtimes_with_options

TEN = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [10]}]}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    names = ("Scale", "Shift", "Silent")
    return environment_with(tmp_path / "site", [f"{name.lower()} = runtimes_with_options:{name}" for name in names])


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    for name in ("plain/1/model.scale", "owned/1/model.scale", "a.b/1/model.shift", "quiet/1/model.silent"):
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()
    (root / "owned" / "model.toml").write_text("[options]\nfactor = 3\n")
    return root


def answers(environment: dict[str, str], models: Path, *options: str, flags: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """What each model makes of 10; ``None`` where it does not answer."""
    given = [part for option in options for part in ("--option", option)]
    process = serve(environment, models, *flags, *given)
    address = address_of(process)
    found = {
        name: httpx.post(f"{address}/v2/models/{name}/infer", json=TEN) for name in ("plain", "owned", "a.b", "quiet")
    }
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    return {name: one.json()["outputs"][0]["data"][0] if one.is_success else None for name, one in found.items()}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("1.5", 1.5),
        ("true", True),
        ('"2"', "2"),
        ('["a", "b"]', ["a", "b"]),
        ("{device = 1}", {"device": 1}),
        ("cpu", "cpu"),
        ("", ""),
        ("a=b", "a=b"),
        ('{"device": [1, null]}', {"device": [1, None]}),
        ("null", None),
        ("1\nother = 2", "1\nother = 2"),
    ],
)
def test_values_are_those_of_toml_or_json_and_other_text_is_itself(text: str, value: object) -> None:
    assert parse_options([f"key={text}"]) == {"key": value}
    assert parse_served_options([f"key={text}"]).of_all == {"key": value}


def test_an_option_is_for_all_for_a_runtime_or_for_a_model() -> None:
    given = parse_served_options(["a=1", "a=2", "onnx:b=3", "iris.c=4", "iris.v2.c=5", "tf:d=x:y.z"])
    assert given.of_all == {"a": 2}
    assert given.of_runtimes == {"onnx": {"b": 3}, "tf": {"d": "x:y.z"}}
    assert given.of_models == {"iris": {"c": 4}, "iris.v2": {"c": 5}}


@pytest.mark.parametrize("text", ["", "a", "=1", ".a=1", ":a=1", "a.=1", "a:=1", "a:b.c=1", "a:b:c=1"])
def test_what_is_no_option_is_a_wrong_use(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not KEY=VALUE, RUNTIME:KEY=VALUE or MODEL"):
        parse_served_options([text])


@pytest.mark.parametrize(
    ("given", "only", "expected"),
    [
        (["factor=2"], None, {"scale": {"factor": 2}}),
        (["factor=2", "offset=1"], None, {"scale": {"factor": 2}, "shift": {"offset": 1}}),
        (["silent:factor=2"], None, {"silent": {"factor": 2}}),
        (["scale:factor=2", "factor=3"], None, {"scale": {"factor": 2}}),
        (["factor=2"], "silent", {"silent": {"factor": 2}}),
    ],
)
def test_runtimes_get_the_options_that_they_have(
    given: list[str], only: str | None, expected: dict[str, dict[str, Any]]
) -> None:
    runtimes = runtimes_with_options()
    parse_served_options(given).set_defaults(runtimes, only)
    assert {one.name: one.default_options for one in runtimes if one.default_options} == expected


@pytest.mark.parametrize(
    ("given", "only", "message"),
    [
        (
            "depth=2",
            None,
            "no runtime has 'depth' (silent does not say what it has: write silent:depth=VALUE); the "
            "valid options are: scale:factor, scale:library, shift:offset",
        ),
        ("scale:depth=2", None, "the runtime 'scale' has no depth; the valid options are: factor, library"),
        ("factor=2", "shift", "the runtime 'shift' has no factor; the valid options are: offset"),
    ],
)
def test_an_option_that_nobody_has_names_those_there_are(given: str, only: str | None, message: str) -> None:
    with pytest.raises(InvalidOptions) as error:
        parse_served_options([given]).set_defaults(runtimes_with_options(), only)
    assert str(error.value) == f"invalid options: {message}"


def test_an_option_for_a_runtime_that_is_not_installed_is_refused() -> None:
    with pytest.raises(UnknownRuntime, match=r"lost.*scale"):
        parse_served_options(["lost:a=1"]).set_defaults(runtimes_with_options(), None)


def test_each_model_gets_the_options_of_its_runtime_and_its_own(environment: dict[str, str], models: Path) -> None:
    found = answers(environment, models, "factor=2", "silent:factor=5", "a.b.offset=7")
    assert found == {"plain": 20, "owned": 30, "a.b": 17, "quiet": 50}


def test_an_option_is_for_the_runtime_that_is_named_and_not_for_those_preferred(
    environment: dict[str, str], models: Path
) -> None:
    found = answers(environment, models, "factor=2", flags=("--runtime", "silent"))
    assert found == {"plain": 10, "owned": 30, "a.b": 10, "quiet": 20}
    found = answers(environment, models, "factor=2", flags=("--prefer", "silent"))
    assert found == {"plain": 20, "owned": 30, "a.b": 10, "quiet": 10}


def test_options_come_from_the_environment_and_a_file_too(
    environment: dict[str, str], models: Path, tmp_path: Path
) -> None:
    found = answers({**environment, "MLBUFFET_OPTION": "factor=2 a.b.offset=7"}, models)
    assert found == {"plain": 20, "owned": 30, "a.b": 17, "quiet": 10}
    (tmp_path / "server.toml").write_text('option = ["silent:factor=2", "owned.factor=4"]\n')
    found = answers(environment, models, flags=("--config", str(tmp_path / "server.toml")))
    assert found == {"plain": 10, "owned": 40, "a.b": 10, "quiet": 20}


def test_an_option_for_one_model_goes_before_its_own_file(environment: dict[str, str], models: Path) -> None:
    found = answers(environment, models, "owned.factor=4", "plain.depth=1", "scale:factor=2")
    assert found == {"plain": None, "owned": 40, "a.b": 10, "quiet": 10}


def test_workers_have_the_same_options(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models, "--workers", "2", "--option", "factor=2", "--option", "owned.factor=4")
    address = address_of(process)
    values = set()
    for _ in range(20):
        answer = httpx.post(f"{address}/v2/models/owned/infer", json=TEN)
        values.add(answer.json()["outputs"][0]["data"][0])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert values == {40}


@pytest.mark.parametrize(
    ("option", "status", "message"),
    [
        ("depth=2", 1, "error: invalid options: no runtime has 'depth'"),
        ("lost.factor=2", 1, "there is no model 'lost'; the valid options are: a.b.KEY, owned.KEY, plain"),
        ("scale.factor=2", 1, "there is no model 'scale'; for the runtime 'scale' write scale:KEY=VALUE; the valid"),
        ("factor", 2, "--option 'factor' is not KEY=VALUE"),
    ],
)
def test_a_start_with_a_wrong_option_ends_in_one_line(
    environment: dict[str, str], models: Path, option: str, status: int, message: str
) -> None:
    process = serve(environment, models, "--option", option)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.count("\n")) == (status, "", 1), err
    assert message in err


def test_an_option_may_be_for_a_model_that_is_still_to_come(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models, "--watch", "--option", "late.factor=2")
    address = address_of(process)
    (models / ".late").mkdir()
    (models / ".late" / "model.scale").touch()
    (models / ".late").rename(models / "late")
    for _ in range(100):
        answer = httpx.post(f"{address}/v2/models/late/infer", json=TEN)
        if answer.is_success:
            break
        signal.sigtimedwait([], 0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert json.loads(answer.text)["outputs"][0]["data"] == [20]
    assert "there is no model 'late'; the valid options are: " in err

"""A setting is taken from its flag, the environment, a file or its default, in this order; what is wrong says where."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.main import get_command

from mlbuffet.cli import main
from mlbuffet.cli.commands import app
from mlbuffet.cli.setting_sources import PREFIX, parameters, variable_of
from processes import address_of, serve

Result = tuple[object, str, str]
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``mlbuffet serve`` with these arguments; the exit code, stdout and stderr."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)

    def run_serve(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["mlbuffet", "serve", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return (exit_.value.code, *capsys.readouterr())

    return run_serve


@pytest.fixture
def shown(run: Run) -> Callable[..., dict[str, Any]]:
    """What ``--show-config --json`` prints."""

    def show(*arguments: object) -> dict[str, Any]:
        status, out, err = run(*arguments, "--show-config", "--json")
        assert (status, err) == (0, "")
        settings = json.loads(out)["settings"]
        assert isinstance(settings, dict)
        return settings

    return show


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes a file of settings."""

    def write(text: str) -> Path:
        path = tmp_path / "server.toml"
        path.write_text(text)
        return path

    return write


def test_a_flag_goes_before_the_environment_and_that_before_the_file(
    shown: Callable[..., dict[str, Any]], file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file('port = 1\nhost = "::1"\nworkers = 2\nmax-body = 1000\nwatch = true\npaths = ["a", "b=c"]\n')
    monkeypatch.setenv("MLBUFFET_PORT", "3")
    monkeypatch.setenv("MLBUFFET_HOST", "localhost")
    monkeypatch.setenv("MLBUFFET_WATCH", "false")
    monkeypatch.setenv("MLBUFFET_GRACE", "")
    settings = shown("--config", path, "--port", "4")
    assert settings["port"] == {"value": 4, "source": "flag", "place": "--port"}
    assert settings["host"] == {"value": "localhost", "source": "environment", "place": "MLBUFFET_HOST"}
    assert settings["watch"] == {"value": False, "source": "environment", "place": "MLBUFFET_WATCH"}
    assert settings["workers"] == {"value": 2, "source": "file", "place": str(path)}
    assert settings["max-body"] == {"value": 1000, "source": "file", "place": str(path)}
    assert settings["paths"] == {"value": ["a", "b=c"], "source": "file", "place": str(path)}
    assert settings["grace"] == {"value": 30, "source": "default", "place": ""}
    assert settings["config"] == {"value": str(path), "source": "flag", "place": "--config"}


def test_lists_are_words_in_the_environment_and_one_source_gives_all_of_them(
    shown: Callable[..., dict[str, Any]], file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file('trusted-proxy = ["10.0.0.0/8"]\ncors-origin = ["https://a.example", "*"]')
    monkeypatch.setenv("MLBUFFET_CONFIG", str(path))
    assert shown()["cors-origin"]["value"] == ["https://a.example", "*"]
    monkeypatch.setenv("MLBUFFET_TRUSTED_PROXY", "192.0.2.1  192.0.2.0/24")
    monkeypatch.setenv("MLBUFFET_PATHS", "models iris=/mnt/models")
    settings = shown()
    assert settings["trusted-proxy"]["value"] == ["192.0.2.1", "192.0.2.0/24"]
    assert settings["paths"]["value"] == ["models", "iris=/mnt/models"]
    settings = shown("models", "--trusted-proxy", "::1")
    assert settings["trusted-proxy"]["value"] == ["::1"]
    assert settings["paths"] == {"value": ["models"], "source": "flag", "place": "[NAME=]PATH..."}


def test_the_table_is_for_people(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLBUFFET_MAX_QUEUE", "7")
    status, out, _ = run("models", "--show-config")
    assert status == 0
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert rows[0] == "setting value from"
    assert {'paths ["models"] flag [NAME=]PATH...', "port 8000 default"} < set(rows)
    assert "max-queue 7 environment MLBUFFET_MAX_QUEUE" in rows


def test_secrets_are_not_shown(shown: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-these-tests")
    redis, model = "redis://user:pass@host:6379/0?password=word", "iris=https://me:pass@host/iris.zip?sig=word&x=word"
    settings = shown(model, "--cache-redis", redis, "--admin-token-file", token)
    assert settings["cache-redis"]["value"] == "redis://***@host:6379/0?password=***"
    assert settings["paths"]["value"] == ["iris=https://***@host/iris.zip?sig=***&x=***"]
    assert "a-token" not in json.dumps(settings)


@pytest.mark.parametrize(
    ("flag", "given", "seen"),
    [
        ("--cache-redis", "redis://u:p@SECRET@h/0", "redis://***@h/0"),
        ("--cache-redis", "redis://u:SECRET/?SECRET@h", "redis://***@h"),
        ("--cache-redis", "u:SECRET@h:6379", "***@h:6379"),
        ("--option", 'auth={"token":"SECRET"}', "auth=***"),
        ("--option", "good.api_Key=SECRET", "good.api_Key=***"),
        ("--option", 'headers={"X-Api-Key":"SECRET"}', "headers=***"),
        ("--option", "intra_op_threads=2", "intra_op_threads=2"),
    ],
)
def test_whatever_looks_like_a_secret_is_not_shown(
    shown: Callable[..., dict[str, Any]], flag: str, given: str, seen: str
) -> None:
    value = shown("models", flag, given)[flag.removeprefix("--")]["value"]
    assert value == ([seen] if flag == "--option" else seen)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", "'{path}': unknown key 'prot' (did you mean 'port'?); there are access-log, admin-token-file, "),
        ("max_body = 1", "unknown key 'max_body' (did you mean 'max-body'?); there are "),
        ("[server]\nport = 1", "unknown key 'server'; there are "),
        ("config = 'x'", "unknown key 'config'; there are "),
        ("port = '8'", "'{path}': port takes a whole number from 0 to 65535, and is '8'"),
        ("port = true", "'{path}': port takes a whole number from 0 to 65535, and is True"),
        ("port = 8.5", "'{path}': port takes a whole number from 0 to 65535, and is 8.5"),
        ("port = 70000", "port in '{path}': 70000 is not in the range 0<=x<=65535; it takes a whole number from 0 to"),
        ("watch = 1", "'{path}': watch takes true or false, and is 1"),
        ("grace = '5'", "'{path}': grace takes a number from 1, and is '5'"),
        ("grace = nan", "grace in '{path}': nan is no finite number; it takes a number from 1"),
        ("drain = inf", "drain in '{path}': inf is no finite number; it takes a number from 0"),
        ("max-body = '1XB'", "max-body in '{path}': '1XB' is no size; write a whole number of bytes"),
        ("log-format = 'yaml'", "log-format in '{path}': 'yaml' is not one of 'human', 'json'"),
        ("trusted-proxy = '::1'", "'{path}': trusted-proxy takes a list of addresses or networks, and is '::1'"),
        ("trusted-proxy = [1]", "'{path}': trusted-proxy takes a list of addresses or networks, and is [1]"),
        ("trusted-proxy = ['x']", "trusted-proxy in '{path}': 'x' does not appear to be an IPv4 or IPv6 network"),
        ("paths = 'models'", "'{path}': paths takes a list of texts, and is 'models'"),
        ("cors-origin = ['a.example']", "cors-origin in '{path}': 'a.example' is no site; write one such as https://"),
        ("port", "'{path}' is not TOML: "),
    ],
)
def test_a_file_that_is_wrong_says_where_and_what_may_be_there(
    run: Run, file: Callable[[str], Path], text: str, message: str
) -> None:
    path = file(text)
    status, out, err = run("models", "--config", path)
    assert (status, out) == (2, "")
    assert message.format(path=path) in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PORT", "abc", "the environment variable MLBUFFET_PORT: 'abc' is not a whole number from 0 to 65535"),
        (
            "PORT",
            "70000",
            "MLBUFFET_PORT: 70000 is not in the range 0<=x<=65535; it takes a whole number from 0 to 65535",
        ),
        ("WATCH", "maybe", "MLBUFFET_WATCH: 'maybe' is not true or false"),
        ("REQUEST_TIMEOUT", "0", "MLBUFFET_REQUEST_TIMEOUT: 0.0 is not in the range x>=0.001; it takes a number"),
        ("GRACE", "inf", "MLBUFFET_GRACE: inf is no finite number; it takes a number from 1"),
        ("MAX_BODY", "2XB", "MLBUFFET_MAX_BODY: '2XB' is no size; write"),
        ("TRUSTED_PROXY", "::1 x", "MLBUFFET_TRUSTED_PROXY: 'x' does not appear to be an IPv4 or IPv6 network"),
        ("LOG_FORMAT", "yaml", "MLBUFFET_LOG_FORMAT: 'yaml' is not one of 'human', 'json'"),
        ("CONFIG", "/nowhere.toml", "'/nowhere.toml' cannot be read: no such file or directory"),
    ],
)
def test_a_variable_that_is_wrong_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"MLBUFFET_{variable}", value)
    status, out, err = run("models")
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_flag_that_is_wrong_is_named_alone(run: Run) -> None:
    told = "error: Invalid value for '--port': 'x' is not a whole number from 0 to 65535\n"
    assert run("models", "--port", "x")[2] == told


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("option", "xx", "--option 'xx' is not KEY=VALUE"),
        ("cache-redis", "http://x", "--cache-redis: "),
        ("runtime", "nope", "--runtime: there is no runtime 'nope'; installed: "),
        ("drain", "50", "--drain 50 is part of --grace 30, and must be less"),
        ("ssl-keyfile", "x", "--ssl-keyfile and --ssl-ca-certs take --ssl-certfile"),
        ("predict-token-file", "none", "--predict-token-file: the token in 'none' cannot be read"),
    ],
)
def test_what_is_found_late_to_be_wrong_is_named_too(
    run: Run, file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, key: str, value: str, message: str
) -> None:
    variable = f"MLBUFFET_{key.upper().replace('-', '_')}"
    path = file(f"{key} = {[value] if key == 'option' else 50 if key == 'drain' else repr(value)}")
    by_file = run("models", "--config", path)
    assert (by_file[0], message in by_file[2]) == (2, True)
    assert by_file[2].endswith(f"; --{key} is given by {key} in '{path}'\n")
    monkeypatch.setenv(variable, value)
    by_variable = run("models")
    assert (by_variable[0], message in by_variable[2]) == (2, True)
    assert by_variable[2].endswith(f"; --{key} is given by the environment variable {variable}\n")
    monkeypatch.delenv(variable)
    assert "is given by" not in run("models", f"--{key}", value)[2]


@pytest.mark.parametrize("flag", ["--drain", "--grace", "--request-timeout"])
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_seconds_are_finite(run: Run, flag: str, number: str) -> None:
    status, _, err = run("models", flag, number)
    assert (status, err) == (2, f"error: Invalid value for '{flag}': {number} is no finite number\n")


def test_without_a_path_it_is_said_where_one_can_stand(run: Run) -> None:
    status, _, err = run()
    assert status == 2
    assert err.startswith("error: Missing argument '[NAME=]PATH...'; ")


def test_what_kubernetes_sets_for_a_service_of_that_name_is_no_port(
    shown: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLBUFFET_PORT", "tcp://10.0.0.1:80")
    monkeypatch.setenv("MLBUFFET_SERVICE_PORT", "80")
    assert shown()["port"]["source"] == "default"


def test_no_variable_of_the_tests_and_the_plugins_is_one_of_a_flag() -> None:
    serve_command = get_command(app).commands["serve"]  # type: ignore[attr-defined]  # a group
    variables = {variable_of(one) for one in parameters(serve_command)}
    others = {"CAMPAIGN", "FUZZ", "SOAK", "KSERVE_PYTHON", "ONNX_LIBRARIES", "SERVICE_HOST", "SERVICE_PORT"}
    assert not variables & {f"MLBUFFET_{name}" for name in others}
    assert {"MLBUFFET_CACHE_REDIS", "MLBUFFET_MAX_BODY", "MLBUFFET_PATHS", "MLBUFFET_JSON"} < variables


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_runs_by_its_file_and_its_environment_alone(
    environment: dict[str, str], models: Path, file: Callable[[str], Path], workers: int
) -> None:
    path = file(f"paths = ['good={models}/good.half']\nworkers = {workers}\nmax-body = '1KiB'\nread-only = true")
    process = serve({**environment, "MLBUFFET_CONFIG": str(path), "MLBUFFET_ACCESS_LOG": "yes"})
    with httpx.Client(base_url=address_of(process)) as client:
        assert client.get("/v2/models").json()
        assert client.post("/v2/models/good/infer", content=b" " * 1025).status_code == 413
        assert "--read-only" in client.delete("/api/v1/models/good").json()["error"]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "GET /v2/models 200" in err


def test_errors_are_json_where_the_environment_or_the_file_has_the_log_so(
    environment: dict[str, str], models: Path, file: Callable[[str], Path]
) -> None:
    by_variable = serve({**environment, "MLBUFFET_LOG_FORMAT": "json"}, models, "--port", "x")
    by_file = serve(environment, models / "bad.half", "--config", file("log-format = 'json'"))
    for process in (by_variable, by_file):
        _, err = process.communicate(timeout=20)
        lines = [json.loads(line) for line in err.splitlines()]
        assert lines[-1]["level"] == "CRITICAL"

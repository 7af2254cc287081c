"""``mlbuffet models | push | default | remove`` against a running server."""

import json
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest

from mlbuffet import ArtifactUnreadable
from mlbuffet.cli import main
from mlbuffet.cli.sending import packed
from mlbuffet.errors import StorageFailed
from mlbuffet.server import ServerSettings
from ordinary_user import ordinary_user
from small_runtimes import write_models
from uploading import RunApp, Uploading, uploading, visible

TOKEN = "a-token"
Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def served(tmp_path: Path, run_app: RunApp) -> Iterator[Uploading]:
    (tmp_path / "token").write_text(TOKEN)
    with uploading(tmp_path / "models", run_app, ServerSettings(admin_token=TOKEN, max_upload=10_000)) as served:
        yield served


@pytest.fixture
def run(served: Uploading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs a command against the server, and gives exit code, output and errors."""

    def run_command(*arguments: object) -> tuple[object, str, str]:
        given = ["--url", str(served.client.base_url)] if "--url" not in arguments else []
        if arguments[0] != "models" and "--token-file" not in arguments:
            given += ["--token-file", str(tmp_path / "token")]
        monkeypatch.setattr(sys, "argv", ["mlbuffet", *map(str, arguments), *given])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run_command


def test_a_folder_that_may_not_be_read_is_not_pushed() -> None:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        locked = write_models(Path(name), {"m/variables/part": ""}) / "m/variables/part"
        locked.chmod(0)
        with ordinary_user(), pytest.raises(ArtifactUnreadable, match="/variables/part' cannot"), packed(Path(name)):
            pass


def test_a_folder_cannot_be_packed_where_nothing_can_be_written(half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", Path("/no/such/file").open)
    with pytest.raises(StorageFailed, match="name one in TMPDIR"), packed(half.parent):
        pass


def test_a_model_is_pushed_chosen_and_removed(run: Run, served: Uploading, half: Path) -> None:
    for version in (1, 2):
        told = f"version {version} of the model 'iris' was added, and is the default\n"
        assert run("push", "iris", half, "--description", "Kinds", "--library-version", "1") == (0, told, "")
    assert served.versions("iris")["1"]["file"] == "half.half"
    assert served.versions("iris")["1"]["description"] == "Kinds"
    assert run("default", "iris", 1) == (0, "version 1 of the model 'iris' is the default\n", "")
    assert served.default("iris") == 1
    status, out, _ = run("models", "--json")
    expected = [
        {"name": "iris", "version": "1", "state": "READY", "default": True},
        {"name": "iris", "version": "2", "state": "READY", "default": False},
    ]
    assert (status, json.loads(out)["models"]) == (0, expected)
    status, out, _ = run("models")
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["iris", "1", "default", "READY"],
        ["iris", "2", "READY"],
    ]
    assert run("remove", "iris") == (0, "version 1 of the model 'iris' was removed\n", "")
    status, out, _ = run("remove", "iris:2", "--json")
    assert (status, json.loads(out)) == (0, {"name": "iris", "version": 2})
    assert visible(served.root) == []


def test_a_model_is_pushed_with_its_runtime_and_options(run: Run, half: Path) -> None:
    assert run("push", "iris", half, "--runtime", "half")[0] == 0
    status, out, err = run("push", "iris", half, "--runtime", "half", "--option", "factor=2", "--option", 'tags=["a"]')
    assert (status, out) == (1, "")
    assert "an upload may not set 'factor', 'tags'; the valid options are: none (status 422)" in err
    status, _, err = run("push", "iris", half, "--runtime", "lost")
    assert (status, "the runtime 'lost' is not installed" in err) == (1, True)


def test_a_folder_is_sent_as_a_zip_without_what_is_hidden(run: Run, served: Uploading, tmp_path: Path) -> None:
    folder = tmp_path / "iris"
    for name in ("model.half", "assets/words.txt", ".git/config", "assets/.DS_Store"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("half")
    assert run("push", "iris", folder)[0] == 0
    assert visible(served.root) == ["iris/1/assets/words.txt", "iris/1/model.half"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["push", "iris", "bad.half"], 1, "the model cannot be loaded: the runtime refused it"),
        (["push", "iris", "big.half"], 1, "larger than 10000 bytes"),
        (["push", "a b", "good.half"], 1, "'a b' cannot be a model's name"),
        (["push", "iris", "missing.half"], 2, "does not exist"),
        (["push", "iris", "good.half", "--token-file", "missing"], 2, "the token in 'missing' cannot be read"),
        (
            ["push", "iris", "good.half", "--token-file", "wrong"],
            1,
            "changes take the admin token: the token is not that of this server (status 401)",
        ),
        (["default", "iris", "1"], 1, "there is no model 'iris' (status 404)"),
        (["default", "iris", str(2**63)], 2, "9223372036854775808 is not in the range"),
        (["default", "iris", "0"], 1, "there is no model 'iris' (status 404)"),
        (["remove", "iris:x"], 1, "'x' is not a version"),
        (["models", "--url", "ftp://127.0.0.1"], 2, "is no address of a server"),
        (["models", "--url", "127.0.0.1:8000"], 2, "is no address of a server"),
        (["models", "--url", "http://127.0.0.1:1"], 1, "the server at http://127.0.0.1:1: it cannot be asked: "),
    ],
)
def test_what_is_refused_is_told_in_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.half").write_text("half")
    (tmp_path / "bad.half").write_text("corrupt")
    (tmp_path / "big.half").write_bytes(bytes(2**22))
    (tmp_path / "wrong").write_text("wrong")
    code, out, err = run(*arguments)
    assert (code, out) == (status, "")
    assert err.startswith("error: ")
    assert (message in err, err.count("\n")) == (True, 1), err


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", "its answer (status 200) is not that of MLBuffet"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n[]", "no reason is given (status 500)"),
        (b"", "it cannot be asked: Remote end closed connection without response"),
    ],
)
def test_what_is_no_server_of_models_is_told(run: Run, answer: bytes, message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        code, _, err = run("models", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert (code, message in err) == (1, True), err


def test_a_person_at_a_terminal_sees_a_bar_while_a_model_is_sent(served: Uploading, half: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mlbuffet", "push", "iris", str(half), "--url", str(served.client.base_url)]
    process = subprocess.Popen(
        [*command, "--token-file", str(tmp_path / "token")],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        stdin=theirs,
    )
    out, _ = process.communicate(timeout=30)
    seen = os.read(ours, 65536)
    os.close(ours)
    os.close(theirs)
    assert (process.returncode, b"was added" in out) == (0, True)
    assert b"uploading iris" in seen

"""A process of a model reaches no network, gains no privileges, and writes nothing but temporary files."""

import os
import runpy
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from isolation_help import Serve, tell
from mlbuffet.isolation.process import CONFINEMENT
from waiting import wait_for


@pytest.fixture(scope="module", autouse=True)
def allowed() -> None:
    """Some containers allow none of it."""
    program = (
        f"import runpy, sys; m = runpy.run_path({str(CONFINEMENT)!r}); m['confine']([]); sys.exit(len(m['problems']))"
    )
    if os.spawnlp(os.P_WAIT, "python3", "python3", "-c", program):
        pytest.skip("this system lets no process be confined")


@pytest.fixture
def port() -> Iterator[int]:
    """Where something listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_what_it_may_not_do_fails(serve: Serve, tmp_path: Path, port: int) -> None:
    repository = serve({"bad.bad": ""})
    (tmp_path / "mine").write_text("mine")
    assert tell(repository, f"write {tmp_path / 'new'}") == "PermissionError"
    assert tell(repository, f"write {tmp_path / 'mine'}") == "PermissionError"
    assert tell(repository, f"write {tmp_path / 'models' / 'bad.bad'}") == "PermissionError"
    assert tell(repository, f"remove {tmp_path / 'mine'}") == "PermissionError"
    assert tell(repository, f"connect {port}") == "OSError"
    assert tell(repository, f"signal {os.getpid()}") == "PermissionError"
    assert tell(repository, f"run echo harm > {tmp_path / 'new'}") != "0"
    assert (tell(repository, "status NoNewPrivs"), int(tell(repository, "status CapEff"), 16)) == ("1", 0)
    assert int(tell(repository, "files")) <= 4096
    assert {file.name for file in tmp_path.iterdir()} == {"models", "mine"}
    assert (tmp_path / "mine").read_text() == "mine"


def test_it_has_temporary_files_of_its_own_that_go_with_it(serve: Serve) -> None:
    repository = serve({"bad.bad": ""})
    first = Path(tell(repository, "temporary"))
    assert first.exists()
    with pytest.raises(Exception, match="gave no answer"):
        tell(repository, "abort")
    wait_for(lambda: not first.parent.exists())
    second = Path(tell(repository, "temporary"))
    assert second.parent != first.parent
    repository.close()
    assert not second.parent.exists()


def test_model_toml_can_say_that_it_is_not_confined(serve: Serve, tmp_path: Path, port: int) -> None:
    repository = serve({"bad/1/a.bad": "", "bad/model.toml": "[process]\nconfined = false\n"})
    assert tell(repository, f"write {tmp_path / 'new'}") == "4"
    assert tell(repository, f"connect {port}") == str(port)
    assert Path(tell(repository, "temporary")).exists()


def test_what_the_system_does_not_allow_is_told(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "confinement.py").write_text(
        "problems = ['the process of the model cannot be kept from the network']\n"
    )
    with (tmp_path / "confinement.py").open("a") as file:
        file.write("def confine(folders): ...\n")
    (tmp_path / "start.py").write_text(CONFINEMENT.with_name("start.py").read_text())
    monkeypatch.setattr("mlbuffet.isolation.process._START", tmp_path / "start.py")
    assert tell(serve({"bad.bad": ""}), "echo well") == "well"
    wait_for(lambda: "the process of the model cannot be kept from the network" in caplog.messages)


def test_a_right_that_the_kernel_does_not_know_is_not_asked_for() -> None:
    module = runpy.run_path(str(CONFINEMENT))
    assert sum(rights for since, rights in module["_CHANGES"].items() if since <= 1) < 1 << 13

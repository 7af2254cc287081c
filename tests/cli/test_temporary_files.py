"""All temporary files of a server lie in one folder, which goes when the server ends."""

import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from mlbuffet.server.processes.temporary_files import PREFIX
from processes import address_of, environment_with, serve
from waiting import wait_for
from workers import both_behind, processes_behind


@pytest.fixture
def temporary() -> Iterator[Path]:
    """An empty folder with a path that is short, as that of a socket must be."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def environment(tmp_path: Path, temporary: Path) -> dict[str, str]:
    entries = ["danger = dangerous_runtimes:Dangerous", "process = small_runtimes:ProcessId"]
    return {**environment_with(tmp_path / "site", entries), "TMPDIR": str(temporary)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that leaves a file wherever it is loaded."""
    path = tmp_path / "m.danger"
    path.write_text("leave")
    return path


@contextmanager
def serving(environment: dict[str, str], *arguments: object) -> Iterator[subprocess.Popen[str]]:
    with serve(environment, *arguments) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def server(environment: dict[str, str], model: Path) -> Iterator[subprocess.Popen[str]]:
    with serving(environment, model) as process:
        address_of(process)
        yield process


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_temporary_files_lie_in_one_private_folder_and_go_when_the_server_ends(
    server: subprocess.Popen[str], temporary: Path, ending: signal.Signals
) -> None:
    (folder,) = temporary.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(list(folder.rglob("left"))) == 1
    server.send_signal(ending)
    server.communicate(timeout=20)
    assert server.returncode == (-ending if ending is signal.SIGTERM else 0)
    assert list(temporary.iterdir()) == []


def test_what_a_server_that_was_killed_has_left_goes_when_the_next_starts(
    server: subprocess.Popen[str], environment: dict[str, str], model: Path, temporary: Path
) -> None:
    (dead,) = temporary.iterdir()
    server.kill()
    server.communicate(timeout=20)
    assert list(dead.rglob("left"))
    with serving(environment, model) as second, serving(environment, model) as third:
        for process in (second, third):
            address_of(process)
        folders = set(temporary.iterdir())
        assert len(folders) == 2  # that of one that lives is left alone
        assert dead not in folders
        for process in (second, third):
            process.terminate()
            process.communicate(timeout=20)
    assert list(temporary.iterdir()) == []


def test_what_is_not_of_a_server_is_left_alone(
    environment: dict[str, str], model: Path, temporary: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "precious").mkdir(parents=True)
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    (temporary / f"{PREFIX}file").touch()
    (temporary / "mlbuffet-abc").mkdir()  # of a program that has loaded a model
    if os.geteuid() == 0:
        (temporary / f"{PREFIX}other").mkdir()
        os.chown(temporary / f"{PREFIX}other", 65534, 65534)
    before = sorted(temporary.iterdir())
    with serving(environment, model) as process:
        address_of(process)
        process.terminate()
        process.communicate(timeout=20)
    assert sorted(temporary.iterdir()) == before
    assert (elsewhere / "precious").is_dir()


def test_a_server_that_is_ended_while_it_loads_leaves_nothing(
    environment: dict[str, str], model: Path, temporary: Path
) -> None:
    model.write_text("leave hang")
    with serving(environment, model, "--grace", 1) as process:
        wait_for(lambda: list(temporary.rglob("left")))
        process.terminate()  # and the load never returns
        process.communicate(timeout=20)
    assert list(temporary.iterdir()) == []


def test_a_server_whose_models_cannot_be_loaded_leaves_nothing(
    environment: dict[str, str], model: Path, temporary: Path
) -> None:
    model.write_text("leave refuse")
    with serving(environment, model) as process:
        process.communicate(timeout=20)
    assert process.returncode == 1
    assert list(temporary.iterdir()) == []


def test_each_worker_has_a_folder_in_that_of_the_server(
    environment: dict[str, str], tmp_path: Path, temporary: Path
) -> None:
    (tmp_path / "a.process").touch()
    with serving(environment, tmp_path / "a.process", "--workers", 2) as process:
        address = address_of(process)
        killed, _ = both_behind(address)
        (folder,) = temporary.iterdir()
        before = set(folder.glob(f"{PREFIX}*"))
        assert len(before) == 2
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(killed))
        wait_for(lambda: len(processes_behind(address)) == 2)
        after = set(folder.glob(f"{PREFIX}*"))
        assert (len(after), len(before & after)) == (2, 1)
        process.terminate()
        process.communicate(timeout=20)
    assert list(temporary.iterdir()) == []


@pytest.fixture
def unwritable(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment whose Python runs where no file can be written, as on a read-only file system."""
    environment.pop("TMPDIR")
    program = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    (tmp_path / "site" / "sitecustomize.py").write_text(program)
    return environment


def test_a_server_goes_without_where_no_file_can_be_written(unwritable: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.process").touch()
    with serving(unwritable, tmp_path / "a.process") as process:
        assert processes_behind(address_of(process)) == {process.pid}
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == -signal.SIGTERM


def test_workers_say_that_they_need_one(unwritable: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.process").touch()
    with serving(unwritable, tmp_path / "a.process", "--workers", 2) as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "workers need a folder for temporary files; TMPDIR can say where: No usable temporary directory" in err
    assert "Traceback" not in err

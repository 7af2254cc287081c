"""What is written to the process's stderr meanwhile is looked at before it gets there."""

import os
import subprocess
import sys
from threading import Event, Thread

import pytest

from mlbuffet.hookspecs import stderr_kept_back


def test_what_is_passed_on_is_written_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    with stderr_kept_back(lambda written: written.replace(b"noise\n", b"")) as is_kept:
        os.write(2, b"noise\nkept\n")
        assert capfd.readouterr().err == ""
    os.write(2, b"after\n")
    assert is_kept
    assert capfd.readouterr().err == "kept\nafter\n"


def test_an_error_inside_leaves_stderr_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), stderr_kept_back(bytes.upper):
        divmod(os.write(2, b"said\n"), 0)
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "SAID\nafter\n"


def test_one_block_has_it_at_once_and_another_goes_without_or_waits(capfd: pytest.CaptureFixture[str]) -> None:
    begun, may_end = Event(), Event()

    def hold() -> None:
        with stderr_kept_back(bytes.upper):
            os.write(2, b"first\n")
            begun.set()
            may_end.wait(20)

    first = Thread(target=hold)
    first.start()
    assert begun.wait(20)
    with stderr_kept_back(bytes.upper) as is_kept:
        assert not is_kept
    may_end.set()
    with stderr_kept_back(bytes.title, wait=True) as is_kept:
        assert is_kept
        os.write(2, b"second\n")
    first.join()
    assert capfd.readouterr().err == "FIRST\nSecond\n"


def test_a_process_without_stderr_goes_on() -> None:
    program = (
        "import os; os.close(2); from mlbuffet.hookspecs import stderr_kept_back as kept\n"
        "with kept(bytes.upper) as is_kept: print(is_kept)"
    )
    ran = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert ran.stdout == b"False\n"

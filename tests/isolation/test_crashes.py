import gc
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

import mlbuffet
from isolation_help import Serve, tell
from mlbuffet import DeadlineExceeded, LoadFailed, ModelNotReady, PredictFailed, ProcessCrashed
from waiting import wait_for

WAYS = {"segfault": "SIGSEGV", "abort": "SIGABRT", "exit 7": "exit code 7"}


@pytest.mark.parametrize("what", WAYS)
def test_a_call_that_ends_its_process_fails_alone(serve: Serve, what: str, caplog: pytest.LogCaptureFixture) -> None:
    repository = serve({"bad.bad": "", "half.half": "half"})
    with pytest.raises(ProcessCrashed, match=f"'bad' gave no answer: its process ended .{WAYS[what]}"):
        tell(repository, what)
    assert repository.predict("half", {"x": [2]})["y"].tolist() == [3]
    assert tell(repository, "echo well") == "well"  # once another process has started
    (message,) = [one for one in caplog.messages if "while it ran 1 call" in one]
    assert "version 1 of the model 'bad': its process" in message
    assert ("in obey" in message) is not what.startswith("exit")


def test_inputs_that_end_two_processes_are_refused(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    repository = serve({"bad/1/a.bad": "", "bad/model.toml": "[process]\ninstances = 2\n"})
    with pytest.raises(ProcessCrashed):
        tell(repository, "segfault")
    with pytest.raises(PredictFailed, match="its inputs have ended the process of the model 'bad' twice"):
        tell(repository, "segfault")
    assert tell(repository, "pid") != ""
    pid = tell(repository, "pid")
    with pytest.raises(PredictFailed, match="are refused"):
        tell(repository, "segfault")
    assert psutil.pid_exists(int(pid))
    assert any("ended its process again, and is refused from now on" in one for one in caplog.messages)


def test_who_ran_beside_the_call_that_ended_the_process_is_not_refused(serve: Serve) -> None:
    repository = serve({"bad.bad": ""})
    for _ in range(2):
        with ThreadPoolExecutor(2) as threads:
            beside = threads.submit(tell, repository, "sleep 1.0")
            time.sleep(0.3)
            with pytest.raises(mlbuffet.MLBuffetError):
                tell(repository, "abort")
            assert isinstance(beside.exception(), ProcessCrashed) or beside.result() == "1.0"
    assert tell(repository, "sleep 1.0") == "1.0"


def test_in_a_batch_only_the_call_fails_that_ends_the_process(serve: Serve) -> None:
    toml = "[process]\n[batching]\nmax_delay_ms = 200\n[warmup]\n" + 'inputs = {what = ["a", "b", "c"]}\n'
    repository = serve({"bad/1/a.bad": "", "bad/model.toml": toml})
    for _ in range(2):
        with ThreadPoolExecutor(3) as threads:
            asked = {one: threads.submit(tell, repository, one) for one in ("echo a", "abort", "echo b")}
            assert asked["echo a"].result() == "a"
            assert asked["echo b"].result() == "b"
            assert isinstance(asked["abort"].exception(), ProcessCrashed | PredictFailed)


def test_a_process_that_is_not_to_be_started_anew_makes_the_version_unavailable(serve: Serve) -> None:
    repository = serve({"bad/1/a.bad": "", "bad/model.toml": "[process]\nrestart = false\n", "half.half": "half"})
    with pytest.raises(ProcessCrashed):
        tell(repository, "abort")
    wait_for(lambda: repository.models()["bad"][0].reason)
    assert "its process ended (SIGABRT)" in repository.models()["bad"][0].reason
    with pytest.raises((ModelNotReady, ProcessCrashed)):
        tell(repository, "echo")
    repository.predict("half", {"x": [2]})


def test_calls_wait_for_the_next_process_within_their_deadline(serve: Serve) -> None:
    repository = serve({"bad/1/a.bad": "", "bad/model.toml": "[process]\n"})
    with pytest.raises(ProcessCrashed):
        tell(repository, "abort")
    with pytest.raises(DeadlineExceeded):
        tell(repository, "echo", timeout=0.01)
    assert tell(repository, "echo well") == "well"


def test_memory_beyond_the_limit_harms_only_the_call(serve: Serve) -> None:
    repository = serve({"bad/1/a.bad": "", "bad/model.toml": '[process]\nmemory = "400MiB"\n'})
    assert tell(repository, "grow 20") == str(20 * 2**20)
    with pytest.raises((PredictFailed, ProcessCrashed)) as raised:
        tell(repository, "grow 500")
    assert "Memory" in str(raised.value) or isinstance(raised.value, ProcessCrashed)
    assert tell(repository, "echo well") == "well"


def test_a_load_that_ends_its_process_says_how(serve: Serve) -> None:
    with pytest.raises(LoadFailed, match=r"its process ended while it was loaded .SIGSEGV"):
        serve({"bad.bad": "segfault"})


def test_a_call_that_takes_too_long_ends_its_process(serve: Serve) -> None:
    repository = serve({"bad/1/a.bad": "", "bad/model.toml": "[process]\ntimeout = 0.5\n"})
    pid = int(tell(repository, "pid"))
    with pytest.raises(DeadlineExceeded, match=r"within 0\.5 seconds"):
        tell(repository, "hang 60")
    wait_for(lambda: not psutil.pid_exists(pid))
    assert tell(repository, "echo well") == "well"


def test_the_timeout_of_requests_is_that_of_processes(serve: Serve, tmp_path: Path) -> None:
    from mlbuffet.repository.settings import RepositorySettings

    isolation = RepositorySettings(isolate=True).isolation(7)
    settings = isolation.settings(None)
    assert settings is not None
    assert settings.timeout == 7


def test_nothing_is_left_of_processes_that_crashed(serve: Serve) -> None:
    repository = serve({"bad.bad": "", "half.half": "half"})
    me = psutil.Process()
    tell(repository, "echo")
    gc.collect()
    files, threads = me.num_fds(), me.num_threads()
    for number in range(3):
        with pytest.raises(ProcessCrashed):
            tell(repository, f"exit {number}")
    tell(repository, "echo")
    gc.collect()
    assert me.num_fds() <= files + 1
    assert me.num_threads() <= threads + 1
    repository.close()
    assert not [one for one in me.children() if "isolation" in " ".join(one.cmdline())]


def test_the_next_start_waits_longer_each_time(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    repository = serve({"bad.bad": ""})
    for number in range(3):
        with pytest.raises(ProcessCrashed):
            tell(repository, f"exit {number}")
    wait_for(lambda: sum("another starts" in one for one in caplog.messages) == 3)
    ends = [one.rpartition("; ")[2] for one in caplog.messages if "another starts" in one]
    assert ends == ["another starts", "another starts in 1 s", "another starts in 2 s"]
    assert caplog.records[0].levelno >= logging.WARNING

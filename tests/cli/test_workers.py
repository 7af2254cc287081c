"""``mlbuffet serve --workers``: processes that share a port, and the one that holds them in number."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from processes import address_in, address_of, read_until, serve
from workers import CLIENTS, ask, both_behind, connecting, processes_behind, two_workers, wait_until, workers_of


def test_two_workers_answer_on_one_port_and_their_models_are_shown_once(
    environment: dict[str, str], model: Path
) -> None:
    process = serve(environment, model, "--workers", 2)
    shown = read_until(process, "serving on")
    wait_until(lambda: len(processes_behind(address_in(shown)) - {process.pid}) == 2)
    process.send_signal(signal.SIGINT)
    more, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert (shown + more).count("READY") == 1
    assert err.count("loading a (version 1) ...") == 1
    assert "Traceback" not in err


def test_what_workers_have_accepted_is_answered_after_sigterm(environment: dict[str, str], model: Path) -> None:
    with two_workers(environment, model) as (process, address):
        both_behind(address)
        with connecting(address) as client, ThreadPoolExecutor(CLIENTS) as pool:
            slow = [pool.submit(ask, client, 1.5) for _ in range(CLIENTS)]
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            assert all(future.result() for future in slow)
        assert process.wait(10) == -signal.SIGTERM
        with pytest.raises(httpx.ConnectError):
            processes_behind(address)


def test_a_worker_that_is_killed_is_replaced_while_the_other_answers(environment: dict[str, str], model: Path) -> None:
    process = serve(environment, model, "--workers", 2)
    address = address_of(process)
    killed, other = both_behind(address)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(killed))
    assert other in processes_behind(address)
    wait_until(lambda: len(processes_behind(address) | {other}) == 2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert f"the worker {killed} ended (signal 9); another starts in 1 s" in err
    assert process.returncode == -signal.SIGTERM


def test_a_model_that_cannot_be_loaded_is_told_once_and_ends_all(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models / "bad.half", "--workers", 2)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert out == ""
    assert err.count("error: ") == 1
    assert err.splitlines()[-1].startswith(f"error: '{models}/bad.half' cannot be loaded by the runtime 'half'")


def test_a_first_worker_that_is_killed_before_it_has_loaded_is_told(environment: dict[str, str], model: Path) -> None:
    process = serve(environment, model, "--workers", 2)
    while not (workers := workers_of(process)):
        time.sleep(0.01)
    workers[0].kill()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"the worker {workers[0].pid} ended (signal 9) before it had loaded" in err


def test_a_port_in_use_is_told_before_any_worker_starts(environment: dict[str, str], model: Path) -> None:
    with two_workers(environment, model) as (_, address):
        port = address.rpartition(":")[2]
        _, err = serve(environment, model, "--workers", 2, "--port", port).communicate(timeout=20)
    assert err == f"error: port {port} of 127.0.0.1 is in use; stop what listens there, or choose another with --port\n"


def test_what_one_of_several_processes_cannot_do_for_all_is_refused(environment: dict[str, str], model: Path) -> None:
    with two_workers(environment, model) as (_, address):
        for change in ("load", "unload"):
            answer = httpx.post(f"{address}/v2/repository/models/a/{change}")
            assert (answer.status_code, "2 processes" in answer.json()["error"]) == (403, True)


def test_what_changes_on_disk_reaches_every_worker(environment: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "watched"
    root.mkdir()
    with two_workers(environment, root, "--watch") as (_, address):
        (root / "a.process").touch()
        wait_until(lambda: httpx.get(f"{address}/v2/models/a").status_code == 200)
        wait_until(lambda: answered_by_two(address))


def answered_by_two(address: str) -> bool:
    try:
        return len(processes_behind(address)) == 2
    except httpx.HTTPStatusError:  # one of them has not seen it yet
        return False


def test_workers_end_when_their_supervisor_is_killed(environment: dict[str, str], model: Path) -> None:
    with two_workers(environment, model) as (process, address):
        workers = both_behind(address)
        process.kill()
        wait_until(lambda: not any(map(psutil.pid_exists, workers)))


def test_a_worker_that_does_not_end_in_time_makes_the_status_1(environment: dict[str, str], model: Path) -> None:
    with two_workers(environment, model, "--grace", 2) as (process, address), ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(ask, connecting(address), 600)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(6) == 1
        with pytest.raises(httpx.HTTPError):
            stuck.result()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_all_workers_have_started_ends_all(
    environment: dict[str, str], model: Path, stop: signal.Signals
) -> None:
    process = serve(environment, model, "--workers", 2)
    assert process.stderr
    while "loading a" not in process.stderr.readline():
        pass
    process.send_signal(stop)
    _, err = process.communicate(timeout=20)
    assert process.returncode == (0 if stop is signal.SIGINT else -stop)
    assert not re.search("Traceback|worker", err)

"""Whichever worker is asked, its metrics and statistics are those of all workers, also of one that was killed."""

import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from processes import address_of, serve
from workers import CLIENTS, ask, both_behind, connecting, processes_behind, two_workers, wait_until

Key = tuple[str, tuple[tuple[str, str], ...]]


def key(name: str, **labels: str) -> Key:
    return name, tuple(sorted(labels.items()))


A = {"model": "a", "version": "1"}
OF_A = {"protocol": "v2", **A}
ANSWERED = key("mlbuffet_requests_total", **OF_A, code="200")
READY = key("mlbuffet_versions", state="READY")
ANSWERING = key("mlbuffet_workers", state="answering")
SILENT = key("mlbuffet_workers", state="silent")


@contextmanager
def one_client_each(address: str) -> Iterator[dict[int, httpx.Client]]:
    """By the process that answers it, a client with one connection."""
    both_behind(address)
    with ExitStack() as stack, ThreadPoolExecutor(CLIENTS) as pool:
        found: dict[int, httpx.Client] = {}
        while len(found) < 2:
            # without certificates, which take longer to read than all the rest
            clients = [httpx.Client(base_url=address, timeout=20, verify=False) for _ in range(CLIENTS)]
            for client in clients:
                stack.callback(client.close)
            found |= zip(pool.map(lambda client: ask(client, 0.02), clients), clients, strict=True)
        yield found


def infer(client: httpx.Client) -> int:
    """Which process answers."""
    body = {"inputs": [{"name": "x", "shape": [], "datatype": "FP32", "data": [0]}]}
    return int(client.post("/v2/models/a/infer", json=body).raise_for_status().json()["outputs"][0]["data"][0])


def metrics(client: httpx.Client) -> dict[Key, float]:
    families = text_string_to_metric_families(client.get("/metrics").raise_for_status().text)
    samples = [sample for family in families for sample in family.samples]
    return {key(one.name, **one.labels): one.value for one in samples}


def stages(client: httpx.Client) -> dict[str, int]:
    """How often there was which stage of a request to ``a``."""
    (entry,) = client.get("/v2/models/a/stats").raise_for_status().json()["model_stats"]
    assert client.get("/v2/models/stats").json()["model_stats"] == [entry]
    assert client.get("/v2/models/a/versions/1/stats").json()["model_stats"] == [entry]
    assert entry["inference_count"] == entry["inference_stats"]["success"]["count"]
    return {stage: duration["count"] for stage, duration in entry["inference_stats"].items()}


def test_totals_are_exact_whoever_is_asked(environment: dict[str, str], model: Path) -> None:
    with two_workers(environment, model) as (_, address), one_client_each(address) as clients:
        one, other = clients.values()
        assert ANSWERED not in metrics(one)
        for number in range(1, 6):
            assert {infer(client) for client in (one, other, one)} == set(clients)
            assert metrics(one)[ANSWERED] == metrics(other)[ANSWERED] == 3 * number
            assert stages(one)["success"] == stages(other)["success"] == 3 * number
        httpx.post(f"{address}/v2/models/a/infer", json={"inputs": []})
        assert metrics(other)[key("mlbuffet_requests_total", **OF_A, code="400")] == 1
        assert stages(one)["fail"] == 1
        assert metrics(one)[key("mlbuffet_request_seconds_count", **OF_A)] == 16
        assert metrics(one)[key("mlbuffet_request_seconds_bucket", **OF_A, le="+Inf")] == 16
        assert "statistics" in one.get("/v2").json()["extensions"]


def test_no_request_of_many_connections_is_lost(environment: dict[str, str], model: Path) -> None:
    with two_workers(environment, model) as (_, address), connecting(address) as client:
        both_behind(address)
        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = Counter(pool.map(lambda _: infer(client), range(400)))
        assert metrics(client)[ANSWERED] == stages(client)["success"] == answers.total() == 400
        assert len(answers) == 2
        question = key("mlbuffet_requests_total", protocol="other", model="", version="", code="200")
        questions = [metrics(client).get(question) for _ in range(20)]
        assert questions == list(range(1, 21))  # each has counted those before it, whoever answered them


def test_what_is_so_now_is_told_of_all_workers(environment: dict[str, str], model: Path) -> None:
    with two_workers(environment, model) as (_, address), one_client_each(address) as clients:
        with ThreadPoolExecutor(2) as pool:
            slow = [pool.submit(ask, client, 4.0) for client in clients.values()]
            time.sleep(2)  # each measures once a second
            with connecting(address) as client:
                assert metrics(client)[key("mlbuffet_calls_running", **A)] == 2
            assert {future.result() for future in slow} == set(clients)
        told = metrics(next(iter(clients.values())))
        assert told[READY] == 2
        assert told[key("mlbuffet_loads_total", **A, state="READY")] == 2
        assert told[ANSWERING] == 2
        assert told[SILENT] == 0
        if sys.platform == "linux":
            sizes = [psutil.Process(process).memory_info().rss for process in clients]
            assert told[key("process_resident_memory_bytes")] == pytest.approx(sum(sizes), rel=0.1)
            oldest = min(psutil.Process(process).create_time() for process in clients)
            assert told[key("process_start_time_seconds")] == pytest.approx(oldest, abs=2)


def test_what_a_killed_worker_has_told_stays_counted(environment: dict[str, str], model: Path) -> None:
    with two_workers(environment, model) as (_, address), one_client_each(address) as clients:
        for client in clients.values():
            for _ in range(10):
                infer(client)
        (killed, _), (_, survivor) = clients.items()
        before = metrics(survivor)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not psutil.pid_exists(killed))
        meanwhile = metrics(survivor)
        assert meanwhile[ANSWERED] == 20
        assert meanwhile[ANSWERING] == 1
        assert meanwhile[READY] == 1
        wait_until(lambda: len(processes_behind(address)) == 2)
        with one_client_each(address) as replaced:
            after = [metrics(client) for client in replaced.values()]
            assert all(stages(client)["success"] == 20 for client in replaced.values())
        assert {told[ANSWERED] for told in after} == {20}
        growing = [one for one in before if one[0].endswith(("_total", "_count", "_bucket", "_sum"))]
        assert len(growing) > 30
        for earlier, later in pairwise((before, meanwhile, *after)):
            assert [one for one in growing if later[one] < earlier[one]] == []


def test_what_was_counted_a_while_ago_outlives_a_worker_that_was_never_asked(
    environment: dict[str, str], model: Path
) -> None:
    with two_workers(environment, model) as (_, address), one_client_each(address) as clients:
        (killed, client), (_, survivor) = clients.items()
        for _ in range(10):
            infer(client)
        time.sleep(2)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not psutil.pid_exists(killed))
        assert metrics(survivor)[ANSWERED] == 10


def test_a_worker_that_hangs_is_not_waited_for(environment: dict[str, str], model: Path) -> None:
    with two_workers(environment, model) as (_, address), one_client_each(address) as clients:
        (hung, client), (_, living) = clients.items()
        infer(client), infer(living)
        wait_until(lambda: metrics(living)[READY] == 2)  # each measures once a second
        os.kill(hung, signal.SIGSTOP)
        try:
            begin = time.monotonic()
            told = metrics(living)
            assert stages(living)["success"] == 2
            assert time.monotonic() - begin < 8  # four questions
            assert told[ANSWERED] == 2
            assert told[READY] == 2
            wait_until(lambda: metrics(living)[SILENT] == 1)
            assert metrics(living)[READY] == 2
        finally:
            os.kill(hung, signal.SIGCONT)
        with connecting(address) as other:
            infer(other)
            told = metrics(other)
        assert told[ANSWERED] == 3
        assert told[ANSWERING] == 2


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_workers_share_is_private_and_gone_in_the_end(
    environment: dict[str, str], model: Path, temporary: Path, stop: signal.Signals
) -> None:
    process = serve({**environment, "TMPDIR": str(temporary)}, model, "--workers", 2)
    workers = both_behind(address_of(process))
    (folder,) = temporary.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    if sys.platform == "linux":  # what they count in has no name by which it could be opened
        files = [file.readlink().name for worker in workers for file in Path(f"/proc/{worker}/fd").iterdir()]
        assert "memfd:mlbuffet-counters (deleted)" in files
    assert not list(folder.glob("*count*"))
    process.send_signal(stop)
    process.communicate(timeout=20)
    assert process.returncode == (0 if stop is signal.SIGINT else -stop)
    wait_until(lambda: not any(map(psutil.pid_exists, workers)))
    assert list(temporary.iterdir()) == []


def test_a_long_path_to_temporary_files_makes_no_difference(
    environment: dict[str, str], model: Path, tmp_path: Path
) -> None:
    far = tmp_path / ("x" * 100)
    far.mkdir()
    with two_workers({**environment, "TMPDIR": str(far)}, model) as (_, address), one_client_each(address) as clients:
        assert len({infer(client) for client in clients.values()}) == 2
        assert [metrics(client)[ANSWERED] for client in clients.values()] == [2, 2]


def test_a_model_that_cannot_be_loaded_leaves_nothing(
    environment: dict[str, str], models: Path, temporary: Path
) -> None:
    process = serve({**environment, "TMPDIR": str(temporary)}, models / "bad.half", "--workers", 2)
    process.communicate(timeout=20)
    assert process.returncode == 1
    assert list(temporary.iterdir()) == []


def test_workers_go_on_without_the_folder_that_they_share(
    environment: dict[str, str], model: Path, temporary: Path
) -> None:
    process = serve({**environment, "TMPDIR": str(temporary)}, model, "--workers", 2)
    address = address_of(process)
    killed, _ = both_behind(address)
    shutil.rmtree(next(temporary.iterdir()))
    with one_client_each(address) as clients:
        assert [metrics(client)[ANSWERING] for client in clients.values()] == [2, 2]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in processes_behind(address) and len(processes_behind(address)) == 2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert "Traceback" not in err

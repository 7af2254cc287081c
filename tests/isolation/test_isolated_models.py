import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

import mlbuffet
from isolation_help import Serve, tell
from mlbuffet import InvalidInput, LoadFailed, PredictFailed
from small_runtimes import small_runtimes, write_models
from waiting import wait_for

MODELS = {"half.half": "half", "e.echo": "float32 object int64 bool", "bad.bad": ""}


def test_answers_are_those_of_the_model(serve: Serve) -> None:
    repository = serve(MODELS)
    assert repository.predict("half", {"x": [1, 2]})["y"].tolist() == [2.5, 3]
    assert repository.predict("half", {"x": [1]}, signature="both", outputs=["z"])["z"].tolist() == [2]
    large = np.random.default_rng(0).random((300, 700), np.float32)
    assert (repository.predict("e", {"x": large}, signature="float32")["x"] == large).all()
    text = np.array([[b"a", b""], ["ä".encode() * 9000, b"\0"]], object)
    assert repository.predict("e", {"x": text}, signature="object")["x"].tolist() == text.tolist()


def test_the_model_runs_in_a_process_of_its_own_that_ends_with_it(serve: Serve) -> None:
    repository = serve({"a.process": "", "b.process": ""})
    pids = {name: int(repository.predict(name, {"x": 0})["pid"]) for name in "ab"}
    assert len({*pids.values(), os.getpid()}) == 3
    repository.close()
    assert not any(map(psutil.pid_exists, pids.values()))


@pytest.mark.parametrize("what", ["refuse", "fail", "raise that"])
def test_errors_are_those_that_it_raises_in_this_process(serve: Serve, what: str) -> None:
    told = []
    for name, isolate in (("a", True), ("b", False)):
        repository = serve({f"{name}.bad": ""}, isolate=isolate)
        with pytest.raises(mlbuffet.MLBuffetError) as raised:
            tell(repository, what, name)
        told.append((type(raised.value), str(raised.value), raised.value.public, str(raised.value.__cause__)))
        repository.close()
    assert told[0] == told[1]


def test_what_does_not_fit_is_refused_as_ever(serve: Serve) -> None:
    repository = serve(MODELS)
    with pytest.raises(InvalidInput, match=r"input 'x' has shape \(1, 1\)"):
        repository.predict("half", {"x": [[1]]})
    with pytest.raises(PredictFailed, match="ValueError: a secret of the inside"):
        repository.predict("half", {"x": [666]})


def test_why_a_model_cannot_be_loaded_is_said_as_ever(tmp_path: Path) -> None:
    reasons = []
    for isolate in (True, False):
        root = write_models(tmp_path, {"half.half": "wrong"})
        with pytest.raises(LoadFailed) as raised:
            mlbuffet.Repository(root, runtimes=small_runtimes(), isolate=isolate).open()
        reasons.append((str(raised.value), raised.value.public))
    assert reasons[0] == reasons[1]


def test_a_runtime_that_another_process_cannot_import_is_named(tmp_path: Path) -> None:
    from small_runtimes import HalfPlusTwo

    class Local(HalfPlusTwo):
        pass

    runtimes = mlbuffet.Runtimes()
    runtimes.register(Local, name="local")
    root = write_models(tmp_path, {"half.half": "half"})
    with pytest.raises(LoadFailed, match="its runtime 'local' cannot be imported by another process"):
        mlbuffet.Repository(root, runtimes=runtimes, isolate=True).open()


def test_a_model_toml_says_how_many_processes(serve: Serve) -> None:
    toml = "[process]\ninstances = 2\n"
    repository = serve({"a/1/a.process": "", "a/model.toml": toml, "b/1/b.process": ""}, isolate=False)
    assert int(repository.predict("b", {"x": 0})["pid"]) == os.getpid()
    with ThreadPoolExecutor(2) as threads:
        pids = [int(one["pid"]) for one in threads.map(lambda _: repository.predict("a", {"x": 0.2}), range(4))]
    assert len({*pids}) == 2
    assert os.getpid() not in pids


def test_a_warm_up_reaches_every_process(serve: Serve) -> None:
    toml = '[process]\ninstances = 2\n[warmup]\nrepeat = 3\ninputs = {what = ["count"]}\n'
    repository = serve({"bad/1/a.bad": "", "bad/model.toml": toml})
    with ThreadPoolExecutor(2) as threads:
        said = list(threads.map(lambda _: tell(repository, "count"), range(2)))
        assert sorted(said) in (["4", "4"], ["4", "5"])
    with pytest.raises(mlbuffet.ProcessCrashed):
        tell(repository, "exit")
    with pytest.raises(mlbuffet.ProcessCrashed):
        tell(repository, "abort")
    assert tell(repository, "count") == "4"


def test_it_may_use_the_cores_that_are_named(serve: Serve) -> None:
    repository = serve({"bad/1/a.bad": "", "bad/model.toml": "[process]\ncores = [0]\n"})
    assert tell(repository, "cores") == "[0]"
    assert tell(repository, "score").strip() == "500"


def test_what_it_logs_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    repository = serve(MODELS)
    tell(repository, "log hello")
    wait_for(lambda: "it says hello" in caplog.messages)
    (record,) = [one for one in caplog.records if one.message == "it says hello"]
    assert (record.name, record.levelno) == ("misbehaving", logging.WARNING)


def test_what_it_prints_goes_where_this_process_prints(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    tell(serve(MODELS), "print from within")
    assert "from within" in capfd.readouterr().err


def test_a_model_may_keep_its_inputs(serve: Serve) -> None:
    repository = serve({"k.keep": ""})
    for size in (3, 100_000):
        for number in range(6):
            found = repository.predict("k", {"x": np.full(size, number, np.float32)})["x"]
            assert set(found.tolist()) <= {float(number), float(max(number - 1, 0)), 5.0}


def test_calls_run_at_once_in_one_process_where_the_runtime_lets_them(serve: Serve) -> None:
    from time import perf_counter

    repository = serve({"s.sleep": ""}, max_concurrency=8)
    repository.predict("s", {"x": 0})
    begun = perf_counter()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: repository.predict("s", {"x": 1}), range(8)))
    assert perf_counter() - begun < 6  # one after the other they take 8


def test_a_model_is_replaced_without_a_failure(serve: Serve, tmp_path: Path) -> None:
    repository = serve({"m/1/a.process": ""})
    first = int(repository.predict("m", {"x": 0})["pid"])
    write_models(tmp_path / "models", {"m/2/a.process": "", "m/model.toml": 'versions = "latest"'})
    with ThreadPoolExecutor(1) as threads:
        reload = threads.submit(repository.reload)
        seen = set()
        while not reload.done():
            seen.add(int(repository.predict("m", {"x": 0})["pid"]))
        reload.result()
    second = int(repository.predict("m", {"x": 0})["pid"])
    assert second != first
    assert seen <= {first, second}
    wait_for(lambda: not psutil.pid_exists(first))

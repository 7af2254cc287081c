import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path
from threading import Event, Thread

import numpy as np
import psutil
import pytest

import mlbuffet
from mlbuffet import Runtimes
from mlbuffet_onnx._stderr import stderr_to_logging
from mlbuffet_tensorflow._options import Options
from mlbuffet_tensorflow._tensorflow import LOG_LEVEL, _stderr_sifted, tf
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

PROGRAM = """
import logging, os, sys
from pathlib import Path

import mlbuffet
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

runtimes = mlbuffet.Runtimes()
runtimes.register(TensorFlowRuntime(), name="tensorflow")
paths = [Path(path) for path in sys.argv[1:]]
for path in paths:
    with mlbuffet.load(path, runtimes=runtimes) as model:
        inputs = {name: [[1.0, 2.0]] for name in model.signatures["serving_default"].inputs}
        assert model.predict(inputs)["output_0"].shape == (1, 3)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A Keras model as each of the two ways of saving writes it; one of them the session cannot run as it is."""
    import keras

    folder = tmp_path_factory.mktemp("models")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.export(folder / "exported", verbose=False)
    tf.saved_model.save(model, str(folder / "saved"))
    return [folder / "exported", folder / "saved"]


def run(program: str, *paths: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != LOG_LEVEL}
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, paths)],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


def test_nothing_reaches_the_terminal(models: list[Path]) -> None:
    ran = run(PROGRAM, *models)  # from the start, at which TensorFlow says most
    assert (ran.stdout, ran.stderr) == ("", "")


@pytest.mark.parametrize("flags", [[], ["--debug"]], ids=["as-ever", "debug"])
def test_the_lines_of_tensorflow_reach_the_terminal_only_with_debug(models: list[Path], flags: list[str]) -> None:
    command = f"from mlbuffet.cli import main; sys.argv[1:] = ['inspect', {str(models[0])!r}, *{flags}]; main()"
    said = run(f"import sys; {command}").stderr
    assert ("cpu_feature_guard" in said) == bool(flags)
    assert flags or not said


def test_the_log_level_that_the_user_chose_is_kept(models: list[Path]) -> None:
    assert "cpu_feature_guard" in run(PROGRAM, models[0], **{LOG_LEVEL: "0"}).stderr


def test_a_program_that_uses_tensorflow_itself_keeps_its_log(models: list[Path]) -> None:
    # JAX, which it imports where it finds it, sets the level
    program = "import tensorflow, os\nbefore = dict(os.environ)\n"
    program += f"{PROGRAM}\nassert os.environ.get({LOG_LEVEL!r}) == before.get({LOG_LEVEL!r})\n"
    program += "tensorflow.get_logger().warning('said by the program')\n"
    said = run(program, models[1]).stderr
    assert "said by the program" in said
    assert "deprecated" not in said


def test_what_others_write_while_tensorflow_is_imported_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with _stderr_sifted():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
        os.write(2, b"I0000 00:00:1795346970.227796    4905 cudart_stub.cc:31] Could not find cuda drivers\n")
        os.write(2, b"I am another library\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "I am another library\nafterwards\n"


def test_two_plugins_that_keep_lines_back_at_once_leave_stderr_where_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    begun, may_end = Event(), Event()

    def hold() -> None:
        with _stderr_sifted():
            begun.set()
            may_end.wait(10)

    first = Thread(target=hold)
    first.start()
    assert begun.wait(10)
    with stderr_to_logging():
        may_end.set()
        first.join()
    os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras saves so
@pytest.mark.parametrize("backend", ["jax", "openvino"])
def test_a_keras_that_runs_on_something_else_is_a_reason(tmp_path: Path, backend: str) -> None:
    import keras

    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "m.keras")
    with pytest.raises(subprocess.CalledProcessError) as ended:
        run(PROGRAM, tmp_path / "m.keras", KERAS_BACKEND=backend)
    assert "LoadFailed" in ended.value.stderr
    assert "set the environment variable KERAS_BACKEND=tensorflow" in ended.value.stderr


def test_a_process_without_standard_error_can_import_tensorflow() -> None:
    terminal = os.dup(2)
    os.close(2)
    try:
        with _stderr_sifted():
            entered = True
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
    assert entered


def test_a_closed_model_is_freed_without_waiting_for_the_garbage_collector(models: list[Path]) -> None:
    runtime = TensorFlowRuntime()
    runtimes = Runtimes()
    runtimes.register(runtime, name="tensorflow")
    gc.disable()
    try:
        handle = runtime.load(models[0], Options())
        graph, session = weakref.ref(handle._session.graph), weakref.ref(handle._session)
        runtime.unload(handle)
        del handle
        assert (graph(), session()) == (None, None)
    finally:
        gc.enable()


def test_a_model_that_is_loaded_and_closed_again_and_again_leaves_no_threads_and_files(models: list[Path]) -> None:
    runtimes = Runtimes()
    runtimes.register(TensorFlowRuntime(), name="tensorflow")

    def use() -> tuple[int, int]:
        for path in models:
            with mlbuffet.load(path, runtimes=runtimes, options={"inter_op_threads": 3}) as model:
                name = next(iter(model.signatures["serving_default"].inputs))
                model.predict({name: np.ones((1, 2), np.float32)})
        return psutil.Process().num_threads(), psutil.Process().num_fds()

    use()
    before = use()
    for _ in range(5):
        after = use()
    assert after == before

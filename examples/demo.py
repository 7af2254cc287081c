"""Trains a real model for each runtime, serves them from one server, and asks it about data that none was trained on.

    python examples/demo.py [--models DIR] [--port N] [--once]

Every claim is checked: a saved model that predicts differently, an answer over HTTP that differs from the one in
Python, or too many mistakes end the demo with an exit code other than 0.
"""

import argparse
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

HOST = "127.0.0.1"
SHADES = " ░▒▓█"

console = Console(highlight=False)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One model of the demo: the script that makes it, how to read its answers, how often it must be right."""

    name: str
    title: str
    script: str
    kind: str = ""
    """Which of the models that the script makes, where it makes several."""
    needs: str = ""
    """The module without which the example is left out."""
    input: str
    datatype: str = "FP32"
    bar: float
    answers: Callable[[dict[str, NDArray[Any]]], NDArray[Any]]
    """The predictions among the outputs of a response."""


def irises_by(kind: str, title: str, *, needs: str = "", takes: str = "x", datatype: str = "FP32") -> Example:
    """The irises once more, by a model that `train_iris_runtimes` makes."""
    return Example(
        name=f"iris-{kind}",
        title=title,
        script="train_iris_runtimes",
        kind=kind,
        needs=needs or kind,
        input=takes,
        datatype=datatype,
        bar=0.90,
        answers=lambda outputs: importlib.import_module("train_iris_runtimes").species_of(outputs),
    )


EXAMPLES = (
    Example(
        name="digits-cnn",
        title="A convolutional network made without Keras (TensorFlow)",
        script="train_digits_module",
        input="image",
        bar=0.97,
        answers=lambda outputs: outputs["digit"],
    ),
    Example(
        name="digits-keras",
        title="A Keras classifier (TensorFlow)",
        script="train_digits_keras",
        input="image",
        bar=0.95,
        answers=lambda outputs: np.argmax(next(iter(outputs.values())), axis=-1),  # its only output: probabilities
    ),
    Example(
        name="iris",
        title="A scikit-learn pipeline (ONNX)",
        script="train_iris_onnx",
        input="measurements",
        bar=0.90,
        answers=lambda outputs: outputs["label"],
    ),
    irises_by("xgboost", "Boosted trees (XGBoost)", takes="features"),
    irises_by("lightgbm", "Boosted trees (LightGBM)", takes="features", datatype="FP64"),
    irises_by("catboost", "Boosted trees (CatBoost)", takes="features"),
    irises_by("sklearn", "A naive Bayes classifier (scikit-learn)", needs="skops", takes="features", datatype="FP64"),
    irises_by("torch", "A layer of a network (PyTorch)", takes="input"),
    irises_by("openvino", "A regression as a graph (OpenVINO)", takes="measurements"),
    irises_by("litert", "A Keras model (LiteRT)", needs="ai_edge_litert", takes="measurements"),
    irises_by("jax", "A function (JAX)"),
    irises_by("python", "Rules that a person wrote (Python)", needs="mlbuffet_python", takes="measurements"),
    irises_by("pipeline", "Votes of ONNX and XGBoost (pipeline)", needs="xgboost", takes="measurements"),
)


@dataclass(frozen=True)
class Held:
    """What a model was not trained on, the truth about it, and what the saved model said in this process."""

    inputs: NDArray[Any]
    truth: NDArray[Any]
    predicted: NDArray[Any]


def main() -> None:
    """Ends with 0 when everything was as claimed, also by Ctrl-C once the models are served."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # however the demo is told to end, it takes its server with it
        signal.signal(ending, signal.default_int_handler)
    arguments = parsed()
    try:
        run(arguments.models, arguments.port, once=arguments.once)
    except KeyboardInterrupt:
        console.print("\nStopped.")
        sys.exit(130)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a model for each runtime, serve them, ask them.")
    parser.add_argument("--models", type=Path, default=Path("build/demo/models"), help="where the models are saved")
    parser.add_argument("--port", type=int, default=8000, help="the port to serve on, if it is free")
    parser.add_argument("--once", action="store_true", help="end when everything was shown, instead of serving on")
    return parser.parse_args()


def run(models: Path, port: int, *, once: bool) -> None:
    """The whole demo."""
    examples = [one for one in EXAMPLES if not one.needs or importlib.util.find_spec(one.needs)]
    held = {example.name: made(example, models / example.name / "1") for example in examples}
    with served(models, free_port(port)) as (url, server):
        answers = {example.name: asked(url, example, held[example.name].inputs) for example in examples}
        for example in examples:
            show(example, held[example.name], answers[example.name])
            prove(example, held[example.name], answers[example.name])
        console.rule("The same flowers by each")
        console.print(side_by_side([one for one in examples if one.name.startswith("iris")], held, answers))
        if missing := [one.name for one in EXAMPLES if one not in examples]:
            console.print(f"Not there without their libraries, which `make runtimes` installs: {', '.join(missing)}")
        console.rule("Ask it yourself")
        for example in examples:
            console.print(curl(url, example, held[example.name].inputs[:1]), markup=False, soft_wrap=True)
        if not once:
            serve_on(url, server)


def made(example: Example, folder: Path) -> Held:
    """Trains and saves one model with its script, which ends the program if the saved model predicts differently."""
    console.rule(example.title)
    with console.status("Importing its libraries (TensorFlow takes 5 to 13 seconds)"), stderr_silenced():
        script = importlib.import_module(example.script)
    started = time.perf_counter()
    held = Held(*(script.make(example.kind, folder) if example.kind else script.make(folder)))
    console.print(f"Trained, saved and compared in {time.perf_counter() - started:.1f} s: {folder}")
    return held


@contextmanager
def stderr_silenced() -> Iterator[None]:
    """Hides what TensorFlow's C++ writes while it is imported, before it looks at TF_CPP_MIN_LOG_LEVEL."""
    terminal = os.dup(2)
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def free_port(wanted: int) -> int:
    """``wanted``, or some free port if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that just ended does not count
        try:
            probe.bind((HOST, wanted))
        except OSError:
            probe.bind((HOST, 0))
            console.print(f"Port {wanted} is taken; {probe.getsockname()[1]} is free.")
        return int(probe.getsockname()[1])


@contextmanager
def served(models: Path, port: int) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The address of a server of ``models``, once it is ready, and its process; it ends with the block."""
    console.rule("One server for all")
    command = [str(Path(sys.executable).with_name("mlbuffet")), "serve", str(models), "--port", str(port)]
    console.print(f"$ mlbuffet serve {models} --port {port}", markup=False, soft_wrap=True)
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True) as server,
    ):
        try:
            url = f"http://{HOST}:{port}"
            wait_until_ready(url, server, log)
            yield url, server
        finally:
            end(server)


def wait_until_ready(url: str, server: "subprocess.Popen[str]", log: IO[str], patience: float = 120.0) -> None:
    """Returns when the server says that it is ready; ends the program, with the server's log, if it never does."""
    deadline = time.monotonic() + patience
    with console.status("Waiting for the server, which imports TensorFlow too"):
        while server.poll() is None and time.monotonic() < deadline:
            if is_ready(url):
                return
            time.sleep(0.1)
    log.seek(0)
    sys.exit(f"The server did not become ready. What it wrote:\n{log.read()}")


def is_ready(url: str) -> bool:
    """Whether a server answers at ``url`` and is ready."""
    try:
        return httpx.get(f"{url}/v2/health/ready", trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def end(server: "subprocess.Popen[str]") -> None:
    """Ends the server, gently if it lets us."""
    server.terminate()
    try:
        server.wait(timeout=10)
    except subprocess.TimeoutExpired:
        server.kill()


def request(example: Example, inputs: NDArray[Any]) -> bytes:
    """The body of an inference request of the Open Inference Protocol."""
    tensor = {"name": example.input, "shape": inputs.shape, "datatype": example.datatype, "data": inputs.ravel()}
    return orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)


def infer_url(url: str, example: Example) -> str:
    """Where a model answers."""
    return f"{url}/v2/models/{example.name}/infer"


def asked(url: str, example: Example, inputs: NDArray[Any]) -> NDArray[Any]:
    """What the server predicts for ``inputs``, all in one request."""
    # trust_env: a proxy of the environment is not for this machine itself
    response = httpx.post(infer_url(url, example), content=request(example, inputs), trust_env=False, timeout=60)
    if response.status_code != httpx.codes.OK:
        sys.exit(f"The server answered {response.status_code} for {example.name}: {response.text}")
    outputs = {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in response.json()["outputs"]}
    return example.answers(outputs)


def curl(url: str, example: Example, inputs: NDArray[Any]) -> str:
    """The same request for a shell."""
    return f"curl -sw '\\n' {infer_url(url, example)} -d '{request(example, inputs).decode()}'"


def show(example: Example, held: Held, answers: NDArray[Any]) -> None:
    """Some answers beside the truth."""
    console.print(f"\n[bold]{example.name}[/]: {example.title}")
    if example.kind:  # shown beside the others
        return
    console.print()
    draw = digits_table if held.inputs.ndim == 4 else flowers_table
    console.print(draw(held, answers))
    console.print()


def prove(example: Example, held: Held, answers: NDArray[Any]) -> None:
    """Ends the program unless the answers are those of the model in this process, and right often enough."""
    if not np.array_equal(answers, held.predicted):
        sys.exit(f"{example.name} answers differently over HTTP than in Python")
    accuracy = float(np.mean(answers == held.truth))
    if accuracy < example.bar:
        sys.exit(f"{example.name} is right too seldom: {accuracy:.1%}, it should be {example.bar:.0%}")
    console.print(f"Over HTTP: {accuracy:.1%} of {len(answers)} right, the same answers as in Python")


def chosen(held: Held, answers: NDArray[Any], count: int) -> list[int]:
    """Which samples to show: the first ones, and a mistake if there is one."""
    mistakes = np.flatnonzero(answers != held.truth)[:1].tolist()
    others = [i for i in range(count) if i not in mistakes]
    return sorted([*mistakes, *others][:count])


def digits_table(held: Held, answers: NDArray[Any]) -> Table:
    """Images side by side, what the model says below."""
    samples = chosen(held, answers, count=4)
    table = Table.grid(padding=(0, 3))
    table.add_row(*(picture(held.inputs[i, :, :, 0]) for i in samples))
    table.add_row(*(f"says {answers[i]}, is {verdict(held.truth[i], answers[i])}" for i in samples))
    return table


def flowers_table(held: Held, answers: NDArray[Any]) -> Table:
    """A row for each flower: length and width of its leaves, what the model says, what is true."""
    table = Table("sepal (cm)", "petal (cm)", "says", "is")
    for i in chosen(held, answers, count=5):
        sepal_length, sepal_width, petal_length, petal_width = held.inputs[i]
        sizes = f"{sepal_length:.1f} × {sepal_width:.1f}", f"{petal_length:.1f} × {petal_width:.1f}"
        table.add_row(*sizes, answers[i], verdict(held.truth[i], answers[i]))
    return table


def side_by_side(examples: list[Example], held: dict[str, Held], answers: dict[str, NDArray[Any]]) -> Table:
    """A row for each model of irises: what it says of the hardest flower of each species, and how often it is right."""
    truth = held[examples[0].name].truth
    wrong = np.sum([answers[one.name] != truth for one in examples], axis=0)
    hardest = [max(np.flatnonzero(truth == species), key=lambda i: wrong[i]) for species in np.unique(truth)]
    table = Table("model", *(f"is {truth[i]}" for i in hardest), "right")
    for one in examples:
        said = answers[one.name]
        marked = (f"[{'green' if said[i] == truth[i] else 'red'}]{said[i]}[/]" for i in hardest)
        table.add_row(one.name, *marked, f"{np.mean(said == truth):.1%}")
    return table


def verdict(truth: object, answer: object) -> str:
    """The truth, marked by whether the answer was right."""
    return f"[green]{truth} ✓[/]" if answer == truth else f"[red]{truth} ✗[/]"


def picture(image: NDArray[Any]) -> str:
    """An image of pixels from 0 to 16 as text, two characters wide for each pixel because characters are narrow."""
    return "\n".join("".join(SHADES[int(pixel) // 4] * 2 for pixel in row) for row in image)


def serve_on(url: str, server: "subprocess.Popen[str]") -> None:
    """Returns at Ctrl-C; ends the program if the server does not last until then."""
    console.print(f"\nServing on {url} until Ctrl-C")
    try:
        server.wait()
    except KeyboardInterrupt:
        console.print("\nStopped.")
    else:
        sys.exit("The server ended by itself")


if __name__ == "__main__":
    main()

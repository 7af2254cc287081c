"""What one call of ``Model.predict`` costs beside the runtime called directly: medians of alternating rounds."""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import mlbuffet

ROUNDS = 15


def main() -> None:
    """Measure both runtimes and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        rows = [*measure_onnx(Path(folder)), *measure_tensorflow(Path(folder))]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("call", "us, median", "us over direct", "x direct", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["call"], *(f"{row[key]:.2f}" for key in ("us", "over", "ratio")))
    Console().print(table)


def measure_onnx(folder: Path) -> list[dict[str, Any]]:
    """An iris classifier: four measurements of one flower in, label and probabilities out."""
    import onnxruntime
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    data = load_iris()
    flowers = data.data.astype(np.float32)
    classifier = LogisticRegression(max_iter=500).fit(flowers, data.target)
    path = folder / "iris.onnx"
    path.write_bytes(to_onnx(classifier, flowers[:1], options={"zipmap": False}).SerializeToString())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    inputs = {"X": flowers[:1]}
    with mlbuffet.load(path) as model:
        return compare(
            {
                "onnxruntime session.run": lambda: session.run(names, inputs),
                "mlbuffet Model.predict": lambda: model.predict(inputs),
            },
            calls=2000,
        )


def measure_tensorflow(folder: Path) -> list[dict[str, Any]]:
    """A multilayer perceptron: [1, 4] in, [1, 3] out."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    class MLP(tf.Module):  # type: ignore[misc]  # TensorFlow comes without types
        def __init__(self) -> None:
            super().__init__()
            self.hidden = tf.Variable(tf.random.normal([4, 16], seed=1))
            self.output = tf.Variable(tf.random.normal([16, 3], seed=2))

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])  # type: ignore[untyped-decorator]
        def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": tf.nn.softmax(tf.nn.relu(x @ self.hidden) @ self.output)}

    path = folder / "mlp"
    tf.saved_model.save(MLP(), str(path))
    loaded = tf.saved_model.load(str(path)).signatures["serving_default"]
    row = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)
    with mlbuffet.load(path) as model:
        return compare(
            {
                "tensorflow signatures[...]()": lambda: loaded(x=tf.constant(row))["y"].numpy(),
                "mlbuffet Model.predict": lambda: model.predict({"x": row}),
            },
            calls=500,
        )


def compare(candidates: dict[str, Callable[[], object]], *, calls: int) -> list[dict[str, Any]]:
    """The candidates in turn, round after round; the first one is the direct call that the others are held against."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, call in candidates.items():
            times[name].append(microseconds(call, calls))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    direct = next(iter(medians.values()))
    return [{"call": name, "us": us, "over": us - direct, "ratio": us / direct} for name, us in medians.items()]


def microseconds(call: Callable[[], object], calls: int) -> float:
    """The mean of ``calls`` calls."""
    call()
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - started) / calls * 1e6


if __name__ == "__main__":
    main()

"""TensorFlow with real networks: a call beside its own ways, calls from threads, memory of loads and unloads."""

import argparse
import gc
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from predict import compare

import mlbuffet

LOADS = 50
WARM_UP = 10
SECONDS = 3.0


def main() -> None:
    """Measure, and print a line for each figure, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["call", "threads", "memory"])
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        measure = {"call": measure_call, "threads": measure_threads, "memory": measure_memory}[arguments.what]
        figures = measure(Path(folder) / "cnn")
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v:.1f}" for k, v in figures.items()))


def measure_call(path: Path) -> dict[str, float]:
    """Microseconds of one call of a small Keras model, in turn with TensorFlow's and Keras' own ways."""
    import keras
    import tensorflow as tf

    keras_model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)])
    keras_model.export(path, verbose=False)
    loaded = tf.saved_model.load(str(path)).signatures["serving_default"]
    row = np.ones((1, 4), np.float32)
    with mlbuffet.load(path) as model:
        rows = compare(
            {
                "loaded.signatures[...]() us": lambda: loaded(x=tf.constant(row))["output_0"].numpy(),
                "mlbuffet Model.predict us": lambda: model.predict({"x": row}),
                "keras_model.predict() us": lambda: keras_model.predict(row, verbose=0),
            },
            calls=20,
        )
    return {row["call"]: row["us"] for row in rows}


def measure_threads(path: Path) -> dict[str, float]:
    """Calls a second of the CNN from one thread and from eight, every answer compared."""
    save_cnn(path)
    image = np.random.default_rng(1).random((1, 32, 32, 3), np.float32)
    with mlbuffet.load(path, options={"intra_op_threads": 1}) as model:
        right = model.predict({"image": image})["y"]

        def calls_a_second(threads: int) -> float:
            counts = [0] * threads
            end = time.perf_counter() + SECONDS

            def call(number: int) -> None:
                while time.perf_counter() < end:
                    np.testing.assert_allclose(model.predict({"image": image})["y"], right, rtol=1e-5)
                    counts[number] += 1

            callers = [threading.Thread(target=call, args=(number,)) for number in range(threads)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
            return sum(counts) / SECONDS

        return {f"calls a second, {threads} threads": calls_a_second(threads) for threads in (1, 8)}


def measure_memory(path: Path) -> dict[str, float]:
    """Megabytes by which the process grows from the tenth load and unload of the CNN to the fiftieth."""
    save_cnn(path)
    image = np.ones((1, 32, 32, 3), np.float32)
    sizes = []
    for _ in range(LOADS):
        with mlbuffet.load(path) as model:
            model.predict({"image": image})
        del model
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss / 2**20)
    return {
        "MB after load 10": sizes[WARM_UP - 1],
        "MB after load 50": sizes[-1],
        "growth MB": sizes[-1] - sizes[WARM_UP - 1],
    }


def save_cnn(path: Path) -> None:
    """Two convolutions and two dense layers: [any, 32, 32, 3] in, [any, 10] out."""
    import tensorflow as tf

    shapes = ([3, 3, 3, 32], [3, 3, 32, 64], [8 * 8 * 64, 64], [64, 10])
    module = tf.Module()
    module.weights = [tf.Variable(tf.random.normal(shape, stddev=0.05, seed=1)) for shape in shapes]

    def call(image: Any) -> dict[str, Any]:
        first, second, hidden, output = module.weights
        for kernel in (first, second):
            image = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME")), 2, 2, "VALID")
        return {"y": tf.nn.softmax(tf.nn.relu(tf.reshape(image, [-1, 8 * 8 * 64]) @ hidden) @ output)}

    module.call = tf.function(call, input_signature=[tf.TensorSpec([None, 32, 32, 3])], autograph=False)
    tf.saved_model.save(module, str(path))


if __name__ == "__main__":
    main()

"""The models that are measured, each with an input and what it gives for that; made once, below build/bench/models.

python benchmarks/artifacts.py NAME makes one, in a process of its own, so that who measures need not import TensorFlow.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
Array = NDArray[Any]


@dataclass(frozen=True)
class Artifact:
    """A model on disk: ``folder`` holds its version 1, ``path`` is what a runtime loads."""

    name: str
    folder: Path
    path: Path
    inputs: dict[str, Array]
    outputs: dict[str, Array]


def artifact(name: str) -> Artifact:
    """The model of that name, made where it is not there yet."""
    folder = BUILD / "models" / name
    sample = BUILD / "samples" / f"{name}.npz"
    if not sample.exists():
        subprocess.run([sys.executable, __file__, name], check=True, capture_output=True)
    with np.load(sample) as arrays:
        parts = {side: {k[2:]: arrays[k] for k in arrays.files if k[0] == side} for side in "io"}
    file = folder / "1" / "model.onnx"
    return Artifact(name, folder, file if file.exists() else folder / "1", parts["i"], parts["o"])


def configured(model: Artifact, name: str, configuration: str) -> Artifact:
    """A copy of the model, called ``name``, with that ``model.toml``."""
    folder = BUILD / "models" / name
    copytree(model.folder, folder, dirs_exist_ok=True)
    (folder / "model.toml").write_text(configuration)
    return replace(model, name=name, folder=folder)


def iris(folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """A classifier of scikit-learn: four floats in, a label and three probabilities out."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    data = load_iris()
    flowers = data.data.astype(np.float32)
    classifier = LogisticRegression(max_iter=500).fit(flowers, data.target)
    model = to_onnx(classifier, flowers[:1], options={"zipmap": False})
    return _save_onnx(model, folder, {"X": flowers[:1]})


def pixels(folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """602 112 floats in, the mean of every channel of four images out: the price is that of the transport."""
    from onnx.parser import parse_model

    model = parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> '
        "pixels (float[batch, 3, 224, 224] image) => (float[batch, 3] mean) "
        "{ mean = ReduceMean <axes = [2, 3], keepdims = 0> (image) }"
    )
    return _save_onnx(model, folder, {"image": np.random.default_rng(1).random((4, 3, 224, 224), np.float32)})


def heavy(folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """256 floats in, through 128 layers of 1 024: the model takes most of the time, as networks do."""
    from onnx import numpy_helper
    from onnx.parser import parse_model

    layers = 128
    nodes = " ".join(f"h{i + 1} = MatMul (h{i}, inner)" for i in range(1, layers))
    model = parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> '
        "heavy (float[batch, 256] x) => (float[batch, 8] y) "
        f"{{ h1 = MatMul (x, first) {nodes} y = MatMul (h{layers}, last) }}"
    )
    random = np.random.default_rng(1)
    for name, shape in {"first": (256, 1024), "inner": (1024, 1024), "last": (1024, 8)}.items():
        weights = random.normal(scale=shape[0] ** -0.5, size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, name))
    return _save_onnx(model, folder, {"x": random.random((1, 256), np.float32)})


def wide(folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """200 MB of weights in 48 layers of 1 024: what is loaded is large."""
    from onnx import numpy_helper
    from onnx.parser import parse_model

    layers = 48
    nodes = " ".join(f"m{i} = MatMul (h{i}, w{i}) h{i + 1} = Relu (m{i})" for i in range(layers))
    model = parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> '
        f"wide (float[batch, 1024] h0) => (float[batch, 1024] y) {{ {nodes} y = Identity (h{layers}) }}"
    )
    random = np.random.default_rng(1)
    for i in range(layers):
        weights = random.normal(scale=1024**-0.5, size=(1024, 1024)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, f"w{i}"))
    return _save_onnx(model, folder, {"h0": random.random((1, 1024), np.float32)})


def cnn_onnx(folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """A CNN of the shapes of `cnn`, with images as ONNX has them: channels first."""
    from onnx import numpy_helper
    from onnx.parser import parse_model

    model = parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> cnn (float[batch, 3, 32, 32] x) => (float[batch, 10] y) {'
        "a = Conv <pads = [1, 1, 1, 1]> (x, first) b = Relu (a)"
        "c = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (b)"
        "d = Conv <pads = [1, 1, 1, 1]> (c, second) e = Relu (d)"
        "f = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (e)"
        "g = Flatten (f) h = MatMul (g, hidden) i = Relu (h) j = MatMul (i, output) y = Softmax (j) }"
    )
    random = np.random.default_rng(1)
    shapes = {"first": (32, 3, 3, 3), "second": (64, 32, 3, 3), "hidden": (4096, 64), "output": (64, 10)}
    for name, shape in shapes.items():
        weights = random.normal(scale=0.05, size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, name))
    return _save_onnx(model, folder, {"x": random.random((1, 3, 32, 32), np.float32)})


def mlp(folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """A small multilayer perceptron of TensorFlow: four floats in, three out."""
    return _save_module(folder, ([4, 16], [16, 3]), [None, 4], _dense)


def cnn(folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """Two convolutions and two dense layers on an image of 32x32 pixels: 3 072 floats in, ten out."""
    shapes = ([3, 3, 3, 32], [3, 3, 32, 64], [8 * 8 * 64, 64], [64, 10])
    return _save_module(folder, shapes, [None, 32, 32, 3], _convolutions)


def resnet(folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """ResNet-50 of Keras, exported without training: a graph of some size."""
    import tensorflow as tf

    tf.keras.applications.ResNet50(weights=None).export(str(folder), verbose=False)
    inputs = {"keras_tensor": np.random.default_rng(1).random((1, 224, 224, 3), np.float32)}
    return inputs, {}


def digits(folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """The convolutional network of the demo: 64 floats in, a digit and ten probabilities out."""
    from sklearn.datasets import load_digits

    script = ROOT / "examples" / "train_digits_module.py"
    subprocess.run([sys.executable, script, folder], check=True, capture_output=True)
    inputs = {"image": load_digits().images[:1, ..., np.newaxis].astype(np.float32)}
    return inputs, _documented_call(folder, inputs)


MAKERS: dict[str, Callable[[Path], tuple[dict[str, Array], dict[str, Array]]]] = {
    make.__name__: make for make in (iris, pixels, heavy, wide, cnn_onnx, mlp, cnn, resnet, digits)
}


def _save_onnx(model: Any, folder: Path, inputs: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    import onnxruntime

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    return inputs, dict(zip(names, session.run(names, inputs), strict=True))


def _save_module(
    folder: Path, shapes: tuple[list[int], ...], taken: list[int | None], network: Callable[..., Any]
) -> tuple[dict[str, Array], dict[str, Array]]:
    import tensorflow as tf

    module = tf.Module()
    module.weights = [tf.Variable(tf.random.normal(shape, stddev=0.05, seed=1)) for shape in shapes]
    spec = tf.TensorSpec(taken, tf.float32, name="x")
    module.call = tf.function(lambda x: {"y": network(x, *module.weights)}, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder))
    inputs = {"x": np.random.default_rng(1).random([size or 1 for size in taken], np.float32)}
    return inputs, _documented_call(folder, inputs)


def _dense(x: Any, hidden: Any, output: Any) -> Any:
    import tensorflow as tf

    return tf.nn.softmax(tf.nn.relu(x @ hidden) @ output)


def _convolutions(x: Any, first: Any, second: Any, hidden: Any, output: Any) -> Any:
    import tensorflow as tf

    for kernel in (first, second):
        x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), 2, 2, "VALID")
    return _dense(tf.reshape(x, [-1, 8 * 8 * 64]), hidden, output)


def _documented_call(folder: Path, inputs: dict[str, Array]) -> dict[str, Array]:
    import tensorflow as tf

    call = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return {name: value.numpy() for name, value in call(**{k: tf.constant(v) for k, v in inputs.items()}).items()}


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    [_, chosen] = sys.argv
    given, expected = MAKERS[chosen](BUILD / "models" / chosen / "1")
    (BUILD / "samples").mkdir(exist_ok=True)
    named: dict[str, Any] = {f"i_{name}": value for name, value in given.items()}
    named |= {f"o_{name}": value for name, value in expected.items()}
    np.savez(BUILD / "samples" / f"{chosen}.npz", **named)

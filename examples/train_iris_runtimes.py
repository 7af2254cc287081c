"""Trains models that tell irises apart with one library each, and saves each as its runtime reads it.

    python examples/train_iris_runtimes.py xgboost build/iris-xgboost/1

Two need no library: `python` is rules as code, and `pipeline` joins them to two of the others, in the folder of models.
"""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from train_iris_onnx import irises

import mlbuffet

SEED = 7
IRISES = Path(__file__).with_name("irises")
SPECIES = np.array(["setosa", "versicolor", "virginica"])

Predict = Callable[[NDArray[Any]], Any]
"""What the trained model itself says of flowers: chances [n, 3]."""


def xgboost(folder: Path, flowers: NDArray[Any], species: NDArray[Any]) -> Predict:
    """Trees of XGBoost, as `save_model` writes them."""
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=30, max_depth=3, n_jobs=1, random_state=SEED).fit(flowers, species)
    model.save_model(folder / "model.ubj")
    predict: Predict = model.predict_proba
    return predict


def lightgbm(folder: Path, flowers: NDArray[Any], species: NDArray[Any]) -> Predict:
    """Trees of LightGBM, as `save_model` writes them."""
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=30, n_jobs=1, random_state=SEED, verbose=-1).fit(flowers, species)
    model.booster_.save_model(folder / "model.txt")
    return lambda held: model.booster_.predict(held)


def catboost(folder: Path, flowers: NDArray[Any], species: NDArray[Any]) -> Predict:
    """Trees of CatBoost, as `save_model` writes them."""
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(iterations=50, random_seed=SEED, verbose=False, allow_writing_files=False)
    model.fit(flowers, species).save_model(str(folder / "model.cbm"))
    predict: Predict = model.predict_proba
    return predict


def sklearn(folder: Path, flowers: NDArray[Any], species: NDArray[Any]) -> Predict:
    """A pipeline of scikit-learn, in a file of skops."""
    import skops.io
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), GaussianNB()).fit(flowers, species)
    skops.io.dump(model, folder / "model.skops")
    predict: Predict = model.predict_proba
    return predict


def torch(folder: Path, flowers: NDArray[Any], species: NDArray[Any]) -> Predict:
    """A layer of PyTorch, exported for any number of flowers."""
    import torch

    torch.manual_seed(SEED)
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1))
    x, y = torch.from_numpy(flowers), torch.from_numpy(species)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.nll_loss(torch.log(model(x)), y).backward()
        optimizer.step()
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model.eval(), (x,), dynamic_shapes=shapes), folder / "model.pt2")
    return lambda held: model(torch.from_numpy(held)).detach().numpy()


def jax(folder: Path, flowers: NDArray[Any], species: NDArray[Any]) -> Predict:
    """A function of JAX, exported for any number of flowers."""
    import jax

    def chances(weights: Any, x: Any) -> Any:
        return jax.nn.softmax(x @ weights[:4] + weights[4])

    def loss(weights: Any) -> Any:
        return -jax.numpy.log(chances(weights, flowers)[np.arange(len(species)), species]).mean()

    step = jax.jit(lambda weights: weights - 0.1 * jax.grad(loss)(weights))
    weights = jax.numpy.zeros((5, 3))
    for _ in range(1_000):
        weights = step(weights)
    trained: Predict = jax.jit(lambda x: chances(weights, x))
    (batch,) = jax.export.symbolic_shape("batch")
    exported = jax.export.export(trained)(jax.ShapeDtypeStruct((batch, 4), "float32"))
    (folder / "model.jax").write_bytes(exported.serialize())
    return trained


def litert(folder: Path, flowers: NDArray[Any], species: NDArray[Any]) -> Predict:
    """A Keras model, converted to a file of LiteRT."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it once, when it is imported
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(SEED)
    model = keras.Sequential([keras.Input([4], name="measurements"), keras.layers.Dense(3, activation="softmax")])
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss="sparse_categorical_crossentropy")
    model.fit(flowers, species, epochs=60, verbose=0)
    with redirect_stdout(StringIO()):  # it prints what it saves on the way
        converted = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    (folder / "model.tflite").write_bytes(converted)
    return lambda held: np.asarray(model(held))


def openvino(folder: Path, flowers: NDArray[Any], species: NDArray[Any]) -> Predict:
    """A regression of scikit-learn as a graph of OpenVINO, in OpenVINO's own format."""
    import openvino
    from openvino import opset13
    from sklearn.linear_model import LogisticRegression

    trained = LogisticRegression(max_iter=1_000).fit(flowers, species)
    x = opset13.parameter([-1, 4], np.float32, name="measurements")
    sums = opset13.matmul(x, opset13.constant(trained.coef_.T.astype(np.float32)), transpose_a=False, transpose_b=False)
    chances = opset13.softmax(opset13.add(sums, opset13.constant(trained.intercept_.astype(np.float32))), axis=1)
    chances.output(0).set_names({"probabilities"})
    openvino.save_model(openvino.Model([chances], [x]), folder / "model.xml", compress_to_fp16=False)
    # on processors that can, it computes in bfloat16 otherwise
    (folder / "model.toml").write_text('[options]\ninference_precision = "f32"\n', encoding="utf-8")
    predict: Predict = trained.predict_proba
    return predict


def make(kind: str, folder: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Trains a model of a kind, saves it in ``folder``; returns flowers that it never saw, their species, its answers.

    Ends the program if the saved model says something else than the trained one.
    """
    train_flowers, flowers, train_species, species = irises()
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "python":
        copyfile(IRISES / "model.py", folder / "model.py")
        predicted = by_rules(folder, flowers)
    elif kind == "pipeline":
        copyfile(IRISES / "pipeline.toml", folder / "pipeline.toml")
        predicted = by_votes(folder.parents[1], flowers)
    else:
        predict = TRAINERS[kind](folder, train_flowers, np.searchsorted(SPECIES, train_species))
        predicted = prove_same(np.asarray(predict(flowers)), folder, flowers)
    print(f"Right about {np.mean(predicted == species):.1%} of the {len(species)} flowers it was not trained on")
    return flowers, species, predicted


TRAINERS = {one.__name__: one for one in (xgboost, lightgbm, catboost, sklearn, torch, openvino, litert, jax)}


def prove_same(before: NDArray[Any], folder: Path, flowers: NDArray[Any]) -> NDArray[Any]:
    """The species by the model in ``folder``; ends the program if the trained model gave other chances ``before``."""
    with mlbuffet.load(folder) as loaded:
        [taken] = loaded.signatures["serving_default"].inputs.values()
        outputs = loaded.predict({taken.name: flowers.astype(taken.dtype)})
    after = list(outputs.values())[-1]  # a label may come before the chances
    difference = float(np.abs(before - after).max())
    # float32 keeps 7 digits, and saved and trained model need not add up in the same order
    if difference > 1e-5:
        sys.exit(f"The saved model predicts differently: probabilities differ by up to {difference:.1e}")
    print(f"Same before saving and after loading: {len(flowers)} flowers, largest difference {difference:.1e}")
    return species_of(outputs)


def by_rules(folder: Path, flowers: NDArray[Any]) -> NDArray[Any]:
    """The species by the rules in ``folder``."""
    with mlbuffet.load(folder) as loaded:
        return species_of(loaded.predict({"measurements": flowers}))


def by_votes(models: Path, flowers: NDArray[Any]) -> NDArray[Any]:
    """The species by the steps of the pipeline, called one after the other."""
    with mlbuffet.load(models / "iris") as iris, mlbuffet.load(models / "iris-xgboost") as trees:
        one = iris.predict({"measurements": flowers})["probabilities"]
        other = trees.predict({"features": flowers})["probabilities"]
    with mlbuffet.load(models / "iris-python") as votes:
        return species_of(votes.predict({"one": one, "other": other}, signature="vote"))


def species_of(outputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The names of the species among the ``outputs`` of a model: labels, numbers of classes, or chances."""
    found = np.asarray(outputs["label"] if "label" in outputs else next(iter(outputs.values())))
    if found.ndim == 2:
        found = found.argmax(axis=1)
    if found.dtype.kind in "iu":
        found = SPECIES[found]
    return np.array([one.decode() if isinstance(one, bytes) else one for one in found])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} {{{','.join([*TRAINERS, 'python', 'pipeline'])}}} OUT_DIR")
    make(sys.argv[1], Path(sys.argv[2]))

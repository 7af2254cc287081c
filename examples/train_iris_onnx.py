"""Trains a scikit-learn pipeline that tells irises apart, and saves it as ONNX so that it can be served.

python examples/train_iris_onnx.py build/iris/1
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import mlbuffet

SEED = 7

Split = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def irises() -> Split:
    """Four measurements [n, 4] of flowers to train with and to hold out, then the names of their species."""
    data = load_iris()
    species = data.target_names[data.target]  # names instead of numbers, so that the model answers with a name
    measurements = data.data.astype(np.float32)
    split: Split = train_test_split(measurements, species, test_size=0.3, random_state=SEED, stratify=species)
    return split


def save(pipeline: Pipeline, path: Path) -> None:
    """Writes the whole pipeline, the scaling too, as one ONNX file."""
    inputs = [("measurements", FloatTensorType([None, 4]))]
    # without ZipMap the probabilities are one tensor [n, 3] instead of a dictionary for each flower
    onnx = to_onnx(pipeline, initial_types=inputs, options={"zipmap": False})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(onnx.SerializeToString())


def prove_same(pipeline: Pipeline, path: Path, measurements: NDArray[Any]) -> NDArray[Any]:
    """What the saved model predicts for ``measurements``; ends the program if the trained pipeline says otherwise."""
    with mlbuffet.load(path) as loaded:
        after = loaded.predict({"measurements": measurements})
    species = np.array([name.decode() for name in after["label"]])
    difference = float(np.abs(pipeline.predict_proba(measurements) - after["probabilities"]).max())
    # scikit-learn computes in float64 and ONNX in float32, which keeps 7 digits
    if difference > 1e-5 or not np.array_equal(pipeline.predict(measurements), species):
        sys.exit(f"The saved model predicts differently: probabilities differ by up to {difference:.1e}")
    print(f"Same before saving and after loading: {len(species)} flowers, largest difference {difference:.1e}")
    return species


def make(folder: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Trains a pipeline, saves it in ``folder``; returns flowers it never saw, their species, and its own answers."""
    train_measurements, measurements, train_species, species = irises()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    pipeline.fit(train_measurements, train_species)
    path = folder / "model.onnx"
    save(pipeline, path)
    predicted = prove_same(pipeline, path, measurements)
    print(f"Right about {np.mean(predicted == species):.1%} of the {len(species)} flowers it was not trained on")
    return measurements, species, predicted


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} OUT_DIR")
    make(Path(sys.argv[1]))

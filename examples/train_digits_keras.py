"""Trains a Keras classifier on handwritten digits, and saves it so that it can be served.

    python examples/train_digits_keras.py build/digits-keras/1

Keras writes the signature ``serving_default`` itself when a model is exported; nothing has to be added.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import mlbuffet

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it once, when it is imported

import keras

EPOCHS = 20
BATCH = 32
SEED = 7

Split = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def digits() -> Split:
    """Images [n, 8, 8, 1] to train with and to hold out, then the digits on them."""
    data = load_digits()
    images = data.images[..., np.newaxis].astype(np.float32)
    split: Split = train_test_split(images, data.target, test_size=0.25, random_state=SEED, stratify=data.target)
    return split


def build() -> keras.Model:
    """An image of 8x8 pixels, each 0 to 16, becomes the probability of each digit."""
    model = keras.Sequential(
        [
            keras.Input([8, 8, 1], name="image"),
            keras.layers.Rescaling(1 / 16),  # inside the model, so that a client sends the pixels as they are
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return model


def train(images: NDArray[Any], labels: NDArray[Any]) -> keras.Model:
    """A classifier that has seen all ``images`` ``EPOCHS`` times."""
    keras.utils.set_random_seed(SEED)
    model = build()
    with Progress() as progress:
        task = progress.add_task("Training the Keras model", total=EPOCHS)
        tick = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, _logs: progress.advance(task))
        model.fit(images, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[tick])
    return model


def prove_same(model: keras.Model, folder: Path, images: NDArray[Any]) -> NDArray[Any]:
    """What the saved model predicts for ``images``; ends the program if the trained model says otherwise."""
    before = np.asarray(model(images, training=False))
    with mlbuffet.load(folder) as loaded:
        [after] = loaded.predict({"image": images}).values()
    difference = float(np.abs(before - after).max())
    # float32 keeps 7 digits, and the same sums in another order may move the last one
    if difference > 1e-6:
        sys.exit(f"The saved model predicts differently: probabilities differ by up to {difference:.1e}")
    print(f"Same before saving and after loading: {len(images)} images, largest difference {difference:.1e}")
    digits: NDArray[Any] = after.argmax(axis=-1)
    return digits


def make(folder: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Trains a classifier, saves it to ``folder``; returns images it never saw, their digits, and its own answers."""
    train_images, images, train_labels, labels = digits()
    model = train(train_images, train_labels)
    model.export(folder, format="tf_saved_model", verbose=False)
    predicted = prove_same(model, folder, images)
    print(f"Right about {np.mean(predicted == labels):.1%} of the {len(labels)} digits it was not trained on")
    return images, labels, predicted


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} OUT_DIR")
    make(Path(sys.argv[1]))

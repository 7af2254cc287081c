"""Trains a convolutional network on handwritten digits without Keras, and saves it so that it can be served.

    python examples/train_digits_module.py build/digits-cnn/1

TensorFlow saves no function of a model made without Keras unless it is told which. Three things make this one servable:
its class inherits from `tf.Module`, so its variables are found and saved; one method is a `tf.function`; and that
function has an ``input_signature``, which becomes the signature ``serving_default``.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import mlbuffet

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it once, when it is imported

import tensorflow as tf

# TensorFlow comes without type information, so its classes and decorators are untyped.
# mypy: allow-subclassing-any, allow-untyped-decorators

EPOCHS = 15
BATCH = 32
SEED = 7

Split = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


class Conv2D(tf.Module):
    """A 3x3 convolution with a bias and ReLU: [batch, height, width, channels] keeps its height and width."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.kernel = tf.Variable(he_normal([3, 3, channels, filters]), name="kernel")
        self.bias = tf.Variable(tf.zeros([filters]), name="bias")

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        """The layer's output."""
        return tf.nn.relu(tf.nn.conv2d(features, self.kernel, strides=1, padding="SAME") + self.bias)


class Dense(tf.Module):
    """A fully connected layer: [batch, inputs] becomes [batch, units]."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.weights = tf.Variable(he_normal([inputs, units]), name="weights")
        self.bias = tf.Variable(tf.zeros([units]), name="bias")

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        """The layer's output."""
        return features @ self.weights + self.bias


class DigitsCNN(tf.Module):
    """Two convolutions, a pooling and two dense layers, which tell the ten digits apart."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = [Conv2D(1, 16), Conv2D(16, 32)]
        self.hidden = Dense(4 * 4 * 32, 64)
        self.output = Dense(64, 10)

    def logits(self, image: tf.Tensor) -> tf.Tensor:
        """What training needs; a plain method, which is not saved by itself."""
        features = image / 16.0  # inside the model, so that a client sends the pixels as they are: 0 to 16
        for convolution in self.convolutions:
            features = convolution(features)
        features = tf.nn.max_pool2d(features, ksize=2, strides=2, padding="VALID")
        features = tf.nn.relu(self.hidden(tf.reshape(features, [-1, 4 * 4 * 32])))
        return self.output(features)

    # The one function that is saved and served. The argument's name becomes the input's, the keys become the outputs'.
    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.float32, name="image")])
    def classify(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """The digit on each image, and how likely each of the ten is."""
        probabilities = tf.nn.softmax(self.logits(image))
        return {"digit": tf.argmax(probabilities, axis=-1), "probabilities": probabilities}


class Momentum:
    """Gradient descent with momentum; its velocities are no part of the model, so they are not saved with it."""

    def __init__(self, variables: tuple[tf.Variable, ...], rate: float = 0.02, decay: float = 0.9) -> None:
        self.variables = variables
        self.velocities = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
        self.rate = rate
        self.decay = decay

    def step(self, gradients: list[tf.Tensor]) -> None:
        """Moves every variable a little down its gradient."""
        for variable, velocity, gradient in zip(self.variables, self.velocities, gradients, strict=True):
            velocity.assign(self.decay * velocity - self.rate * gradient)
            variable.assign_add(velocity)


def he_normal(shape: list[int]) -> tf.Tensor:
    """Random weights whose spread keeps the signal's size through layers with ReLU."""
    fan_in = int(np.prod(shape[:-1]))
    return tf.random.normal(shape, stddev=(2.0 / fan_in) ** 0.5)


def digits() -> Split:
    """Images [n, 8, 8, 1] to train with and to hold out, then the digits on them."""
    data = load_digits()
    images = data.images[..., np.newaxis].astype(np.float32)
    split: Split = train_test_split(images, data.target, test_size=0.25, random_state=SEED, stratify=data.target)
    return split


def batches(images: NDArray[Any], labels: NDArray[Any], order: NDArray[Any]) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """All samples once in ``order``; the last few that fill no batch wait for another epoch."""
    for start in range(0, len(order) - BATCH + 1, BATCH):
        chosen = order[start : start + BATCH]
        yield tf.constant(images[chosen]), tf.constant(labels[chosen])


def training_step(model: DigitsCNN) -> Callable[[tf.Tensor, tf.Tensor], None]:
    """A compiled function that learns from one batch.

    It stands outside the model: of a model with several `tf.function`s TensorFlow saves no signature at all.
    """
    optimizer = Momentum(model.trainable_variables)

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model.logits(images))
            loss = tf.reduce_mean(losses)
        optimizer.step(tape.gradient(loss, optimizer.variables))

    compiled: Callable[[tf.Tensor, tf.Tensor], None] = step
    return compiled


def train(images: NDArray[Any], labels: NDArray[Any]) -> DigitsCNN:
    """A network that has seen all ``images`` ``EPOCHS`` times, in another order each time."""
    tf.random.set_seed(SEED)
    shuffle = np.random.default_rng(SEED)
    model = DigitsCNN()
    step = training_step(model)
    for _ in track(range(EPOCHS), description="Training the tf.Module"):
        for batch in batches(images, labels, shuffle.permutation(len(images))):
            step(*batch)
    return model


def prove_same(model: DigitsCNN, folder: Path, images: NDArray[Any]) -> NDArray[Any]:
    """What the saved model predicts for ``images``; ends the program if the trained model says otherwise."""
    before = {name: tensor.numpy() for name, tensor in model.classify(images).items()}
    with mlbuffet.load(folder) as loaded:
        after = loaded.predict({"image": images})
    difference = float(np.abs(before["probabilities"] - after["probabilities"]).max())
    # float32 keeps 7 digits, and the same sums in another order may move the last one
    if difference > 1e-6 or not np.array_equal(before["digit"], after["digit"]):
        sys.exit(f"The saved model predicts differently: probabilities differ by up to {difference:.1e}")
    print(f"Same before saving and after loading: {len(images)} images, largest difference {difference:.1e}")
    return after["digit"]


def make(folder: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Trains a network, saves it to ``folder``; returns images it never saw, their digits, and its own answers."""
    train_images, images, train_labels, labels = digits()
    model = train(train_images, train_labels)
    tf.saved_model.save(model, str(folder))
    predicted = prove_same(model, folder, images)
    print(f"Right about {np.mean(predicted == labels):.1%} of the {len(labels)} digits it was not trained on")
    return images, labels, predicted


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} OUT_DIR")
    make(Path(sys.argv[1]))

"""A model of TensorFlow 2 with several signatures."""

# mypy: allow-untyped-decorators

from pathlib import Path
from typing import Any

from mlbuffet_tensorflow._tensorflow import tf


class Second(tf.Module):  # type: ignore[misc]  # tensorflow has no types
    """Its signatures have no method: images, several tensors, classes by name."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")], autograph=False)
    def image(self, image_bytes: Any) -> dict[str, Any]:
        pixels = tf.map_fn(lambda one: tf.io.decode_png(one, 1)[0, 0, 0], image_bytes, fn_output_signature=tf.uint8)
        return {"pixel": pixels, "image_bytes": image_bytes, "name": tf.fill(tf.shape(pixels), "é")}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "tag"),
            tf.TensorSpec([None, 5], tf.int64, "signal"),
            tf.TensorSpec([None, 2, 2], tf.float32, "sensor"),
        ],
        autograph=False,
    )
    def named(self, tag: Any, signal: Any, sensor: Any) -> dict[str, Any]:
        return {"tag": tag, "total": tf.reduce_sum(signal, 1), "turned": tf.transpose(sensor, [0, 2, 1])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")], autograph=False)
    def classify(self, inputs: Any) -> dict[str, Any]:
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([2], tf.float32)})["x"]
        return {"scores": tf.nn.softmax(x), "classes": tf.tile([["cat", "dog"]], [tf.shape(x)[0], 1])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")], autograph=False)
    def regress(self, inputs: Any) -> dict[str, Any]:
        return {"outputs": tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"] / 2}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "x")], autograph=False)
    def dense(self, x: Any) -> dict[str, Any]:
        return {"y": tf.matmul(x, tf.reshape(tf.range(6.0), (3, 2))) / 7.0}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")], autograph=False)
    def scalar(self, x: Any) -> dict[str, Any]:
        return {"y": x * 2.0, "rows": tf.fill([3], x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False)
    def checked(self, x: Any) -> dict[str, Any]:
        tf.debugging.assert_non_negative(x, message='x is in "km/h",\nand >= 0')
        return {"y": tf.sqrt(x)}


def save_second(path: Path) -> None:
    second = Second()
    names = ("image", "named", "classify", "regress", "dense", "scalar", "checked")
    tf.saved_model.save(second, str(path), {name: getattr(second, name) for name in names})

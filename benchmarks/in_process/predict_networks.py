"""What one call of ``Model.predict`` costs beside OpenVINO and LiteRT called directly."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import mlbuffet
from case import Case, Field, Plan
from figures import Key
from in_process.predict import microseconds

_CALLS = 1000


@contextmanager
def _networks(plan: Plan) -> Iterator[Field]:
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    from mlbuffet_openvino._openvino import openvino

    plan.tell("TensorFlow makes a network for OpenVINO and LiteRT (`make runtimes` installs them)")
    row = np.random.default_rng(0).normal(size=(1, 10)).astype(np.float32)
    network = _network(tf)
    field = Field()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:

        def measure(name: str, file: Path, direct: Callable[[], object]) -> None:
            model = stack.enter_context(mlbuffet.load(file))
            field.measures[Key("the library", name)] = microseconds(direct, _CALLS)
            field.measures[Key("Model.predict", name)] = microseconds(partial(model.predict, {"x": row}), _CALLS)

        graph, file = tf.function(network), Path(place, "m.tflite")
        concrete = graph.get_concrete_function(tf.TensorSpec([None, 10], tf.float32, "x"))
        file.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert())
        openvino.save_model(openvino.convert_model(concrete), file.with_suffix(".xml"))
        request = openvino.compile_model(file.with_suffix(".xml"), "CPU").create_infer_request()
        measure("OpenVINO", file.with_suffix(".xml"), lambda: request.infer({"x": row}, share_inputs=True))
        measure("LiteRT", file, partial(Interpreter(str(file)).get_signature_runner(), x=row))
        yield field


def _network(tf: Any) -> Callable[[Any], Any]:
    random = np.random.default_rng(0)
    layers = [tf.constant(random.normal(size=shape).astype(np.float32)) for shape in ((10, 100), (100, 100), (100, 3))]

    def network(x: Any) -> Any:
        for weights in layers[:-1]:
            x = tf.nn.relu(tf.matmul(x, weights))
        return {"y": tf.nn.softmax(tf.matmul(x, layers[-1]))}

    return network


CASES = (
    Case(
        name="predict-networks",
        title="One row through a network of three layers of OpenVINO and LiteRT, in process",
        unit="us",
        prepare=_networks,
        asked_for=True,
    ),
)

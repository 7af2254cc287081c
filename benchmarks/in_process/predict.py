"""What one call of ``Model.predict`` costs beside the runtime called directly."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import mlbuffet
from artifacts import Array, artifact
from case import Case, Field, Plan
from figures import Key, Round


@contextmanager
def _onnx(plan: Plan) -> Iterator[Field]:
    import onnxruntime

    plan.tell("ONNX Runtime is imported")
    chosen = artifact("iris")
    session = onnxruntime.InferenceSession(chosen.path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    with mlbuffet.load(chosen.path) as model:
        yield Field(
            {
                Key("session.run"): microseconds(lambda: session.run(names, chosen.inputs), 2000),
                Key("Model.predict"): microseconds(lambda: model.predict(chosen.inputs), 2000),
            }
        )


@contextmanager
def _tensorflow(plan: Plan) -> Iterator[Field]:
    plan.tell("TensorFlow is imported")
    field = Field()
    with ExitStack() as stack:
        for name, calls in {"mlp": 300, "cnn": 50}.items():
            chosen = artifact(name)
            model = stack.enter_context(mlbuffet.load(chosen.path))
            import tensorflow as tf  # loading a model has imported it without a word

            signature = tf.saved_model.load(str(chosen.path)).signatures["serving_default"]
            direct = partial(_documented_call, tf, signature, chosen.inputs["x"])
            field.measures[Key("signatures[...]", name)] = microseconds(direct, calls)
            field.measures[Key("Model.predict", name)] = microseconds(partial(model.predict, chosen.inputs), calls)
        yield field


def _documented_call(tf: Any, signature: Any, x: Array) -> Any:
    return signature(x=tf.constant(x))["y"].numpy()


def microseconds(call: Callable[[], object], calls: int) -> Callable[[], Round]:
    """The mean of ``calls`` calls."""

    def measure() -> Round:
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        return {"us": (time.perf_counter() - begin) / calls * 1e6}

    return measure


CASES = (
    Case(name="predict-onnx", title="One call of a small ONNX model, in process", unit="us", prepare=_onnx, quick=True),
    Case(name="predict-tensorflow", title="One call of a TensorFlow model, in process", unit="us", prepare=_tensorflow),
)

"""What one call of ``Model.predict`` costs beside an exported function of JAX called directly."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mlbuffet
from case import Case, Field, Plan
from figures import Key
from in_process.predict import microseconds

_CALLS = 1000


@contextmanager
def _functions(plan: Plan) -> Iterator[Field]:
    import jax
    from jax import export

    plan.tell("JAX exports a small network (`make runtimes` installs it)")
    weights = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    (batch,) = export.symbolic_shape("batch")
    field = Field()
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "m.jax")
        network: Any = jax.jit(lambda x: jax.nn.softmax(x @ weights))
        file.write_bytes(export.export(network)(jax.ShapeDtypeStruct((batch, 10), np.float32)).serialize())
        call = jax.jit(export.deserialize(bytearray(file.read_bytes())).call)
        with mlbuffet.load(file) as model:
            for rows in (1, 1000):
                x = np.ones((rows, 10), np.float32)
                name = f"{rows} rows"
                field.measures[Key("jax.jit(exported.call)", name)] = microseconds(partial(_direct, call, x), _CALLS)
                field.measures[Key("Model.predict", name)] = microseconds(partial(model.predict, {"x": x}), _CALLS)
            yield field


def _direct(call: Callable[[Any], Any], x: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(call(x))


CASES = (
    Case(
        name="predict-jax",
        title="One call of a small function that JAX exported, in process",
        unit="us",
        prepare=_functions,
        asked_for=True,
    ),
)

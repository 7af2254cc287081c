"""What one call of ``Model.predict`` costs beside PyTorch called directly."""

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
def _torch(plan: Plan) -> Iterator[Field]:
    import torch

    plan.tell("PyTorch exports and traces a small classifier (`make runtimes` installs it)")
    torch.set_num_threads(1)
    network = torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3)).eval()
    row = np.random.default_rng(0).normal(size=(1, 10)).astype(np.float32)
    tensor = torch.from_numpy(row)
    field = Field()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:

        def measure(name: str, file: Path, direct: Callable[..., Any]) -> None:
            model = stack.enter_context(mlbuffet.load(file))
            (takes,) = model.signatures["serving_default"].inputs
            field.measures[Key("the library", name)] = microseconds(partial(_direct, torch, direct, row), _CALLS)
            field.measures[Key("Model.predict", name)] = microseconds(partial(model.predict, {takes: row}), _CALLS)

        exported, traced = Path(place, "m.pt2"), Path(place, "m.pt")
        sizes = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(network, (tensor.repeat(2, 1),), dynamic_shapes=sizes), exported)
        measure("exported", exported, torch.export.load(exported).module())
        torch.jit.trace(network, tensor).save(traced)
        measure("TorchScript", traced, torch.jit.load(traced))
        yield field


def _direct(torch: Any, network: Callable[..., Any], row: Any) -> Any:
    with torch.inference_mode():
        return network(torch.from_numpy(row)).numpy()


CASES = (
    Case(
        name="predict-torch",
        title="One row through a small network of PyTorch, in process",
        unit="us",
        prepare=_torch,
        asked_for=True,
    ),
)

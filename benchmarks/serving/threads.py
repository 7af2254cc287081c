"""What the runtimes' options for threads do to a model that is asked by one client, and by many."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from shutil import copytree

from artifacts import BUILD, Artifact, artifact
from case import Case, Field, Plan
from figures import Key
from serving.cases import setting
from serving.peers import MLBUFFET
from serving.server import served
from serving.wrk import load

Variants = Mapping[str, str]
"""Lines of ``model.toml`` below ``[options]``, by what they mean."""

ONNX: Variants = {
    "the default": "",
    "one thread a call": "intra_op_threads = 1",
    "idle threads spin": "spinning = true",
}
TENSORFLOW: Variants = {
    "the default": "",
    "one thread a call": "intra_op_threads = 1",
    "a pool for operations": "inter_op_threads = 2",
}


def threads(name: str, title: str, model: str, variants: Variants) -> Case:
    """One model, served with one option or another."""

    @contextmanager
    def prepare(plan: Plan) -> Iterator[Field]:
        field = Field()
        with ExitStack() as stack:
            running = {}
            for variant, line in variants.items():
                plan.tell(f"{variant}: the server starts")
                configured = _configured(artifact(model), variant, line)
                running[variant] = stack.enter_context(served(MLBUFFET, configured))
            for count in (1, 16):
                for variant, server in running.items():
                    body = MLBUFFET.body(artifact(model))
                    measure = partial(load, server.url, body, connections=count, seconds=plan.seconds)
                    field.measures[Key(variant, setting(count))] = measure
            yield field

    return Case(name=name, title=title, unit="requests/s", prepare=prepare)


def _configured(model: Artifact, variant: str, line: str) -> Artifact:
    """A copy of the model with a ``model.toml``."""
    folder = BUILD / "models" / variant.replace(" ", "-") / model.name
    copytree(model.folder, folder, dirs_exist_ok=True)
    (folder / "model.toml").write_text(f"[options]\n{line}\n")
    return replace(model, folder=folder)


CASES = (
    threads("threads-iris", "Threads of ONNX Runtime, a small model", "iris", ONNX),
    threads("threads-onnx", "Threads of ONNX Runtime, a CNN", "cnn_onnx", ONNX),
    threads("threads-tensorflow", "Threads of TensorFlow, a CNN", "cnn", TENSORFLOW),
)

"""What the runtimes' options for threads do to a model that is asked by one client, and by many."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

from artifacts import artifact, configured
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
                copy = configured(artifact(model), f"{model}-{variant.replace(' ', '-')}", f"[options]\n{line}\n")
                server = stack.enter_context(served(MLBUFFET, copy))
                running[variant] = partial(load, server.url, MLBUFFET.body(copy), seconds=plan.seconds)
            for count in (1, 16):
                for variant, ask in running.items():
                    field.measures[Key(variant, setting(count))] = partial(ask, connections=count)
            yield field

    return Case(name=name, title=title, unit="requests/s", prepare=prepare, asked_for=True)


CASES = (
    threads("threads-iris", "Threads of ONNX Runtime, a small model", "iris", ONNX),
    threads("threads-onnx", "Threads of ONNX Runtime, a CNN", "cnn_onnx", ONNX),
    threads("threads-tensorflow", "Threads of TensorFlow, a CNN", "cnn", TENSORFLOW),
)

"""Servers under calls of gRPC, side by side, and HTTP of a server that answers both."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from artifacts import artifact
from case import Case, Field, Plan
from figures import Key, Round
from serving import grpc_messages
from serving.bodies import Body
from serving.cases import comparison, setting
from serving.contenders import started
from serving.h2load import Streams, load
from serving.peers import GRPC_PEERS, MLBUFFET, MLBUFFET_BESIDE_GRPC
from serving.server import Server


@dataclass(frozen=True)
class _Setting:
    """How a model is asked."""

    name: str
    model: str
    streams: Streams


ONE, SIXTEEN, STREAMS, PIXELS = setting(1), setting(16), "16 streams", "602 112 floats"
SETTINGS = (
    _Setting(ONE, "iris", Streams()),
    _Setting(SIXTEEN, "iris", Streams(connections=16)),
    _Setting(STREAMS, "iris", Streams(on_each=16)),
    _Setting(PIXELS, "pixels", Streams()),
)


@contextmanager
def _prepare(plan: Plan) -> Iterator[Field]:
    field = Field()
    with ExitStack() as stack:
        models = {name: artifact(name) for name in dict.fromkeys(one.model for one in SETTINGS)}
        running = {name: started(GRPC_PEERS, model, plan, field, stack) for name, model in models.items()}
        for one in SETTINGS:
            body = grpc_messages.raw_tensors(models[one.model])
            for peer, server in running[one.model].items():
                answer = grpc_messages.framed(grpc_messages.ask(server.grpc_address, body))
                measure = partial(_measure, server, body, one.streams, plan.seconds, len(answer))
                field.measures[Key(peer.name, one.name)] = measure
        yield field


def _measure(server: Server, body: Body, streams: Streams, seconds: int, answer_size: int) -> Round:
    """What h2load found, and the processor time of the server for each good answer."""
    before = server.processor_seconds
    found = load(f"http://{server.grpc_address}", body, streams, seconds=seconds, answer_size=answer_size)
    return {**found, "cpu us": (server.processor_seconds - before) / max(1, found["answers"]) * 1e6}


CASES = (
    Case(name="grpc", title="gRPC, raw tensors: a small ONNX model, and pixels", unit="requests/s", prepare=_prepare),
    comparison(
        "grpc-http",
        "HTTP of a server without and with gRPC",
        "iris",
        (MLBUFFET, MLBUFFET_BESIDE_GRPC),
        (1, 16, 64),
    ),
)

"""Servers under the load of wrk, side by side."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from shutil import copytree

from artifacts import BUILD, Artifact, artifact
from case import Case, Field, Plan
from figures import Key, Round
from serving.contenders import started
from serving.peers import (
    ASGI_SERVERS,
    BARE,
    BARE_RAW,
    BARE_TENSORFLOW,
    MLBUFFET,
    MLBUFFET_BATCHING,
    MLBUFFET_BATCHING_BINARY,
    MLBUFFET_BINARY,
    MLBUFFET_ISOLATED,
    MLBUFFET_ISOLATED_BINARY,
    MLBUFFET_TWO,
    MOSEC,
    MOSEC_BATCHING,
    MOSEC_BATCHING_RAW,
    MOSEC_RAW,
    PYTHON_PEERS,
    TRITON,
    Peer,
)
from serving.server import Server, served
from serving.wrk import load


def comparison(
    name: str,
    title: str,
    model: str,
    peers: tuple[Peer, ...],
    connections: tuple[int, ...],
    *,
    quick: bool = False,
    asked_for: bool = False,
) -> Case:
    """Servers of one model; the first one is what the others are held against."""

    @contextmanager
    def prepare(plan: Plan) -> Iterator[Field]:
        field = Field()
        with ExitStack() as stack:
            served_model = artifact(model)
            running = started(peers, served_model, plan, field, stack)
            for count in connections:
                for peer, server in running.items():
                    measured = partial(measure, server, peer, served_model, count, plan.seconds)
                    field.measures[Key(peer.name, setting(count))] = measured
            yield field

    return Case(name=name, title=title, unit="requests/s", prepare=prepare, quick=quick, asked_for=asked_for)


def setting(connections: int) -> str:
    """How a number of connections is called in results."""
    return f"{connections} connection{'s' if connections > 1 else ''}"


def measure(server: Server, peer: Peer, model: Artifact, connections: int, seconds: int) -> Round:
    """What a server answers under load; one that is held still otherwise goes on for it."""
    if not peer.restless:
        return load(server.url, peer.body(model), connections=connections, seconds=seconds)
    server.go_on()
    try:
        return load(server.url, peer.body(model), connections=connections, seconds=seconds)
    finally:
        server.hold()


@contextmanager
def _many(plan: Plan) -> Iterator[Field]:
    """One server of each kind for each number of models, which are asked in turn."""
    field, one = Field(), artifact("iris")
    with ExitStack() as stack:
        for peer in (BARE, MLBUFFET):
            for count in (1, 10, 50, 100):
                plan.tell(f"{peer.name} starts with {count} models")
                root = BUILD / "models" / f"iris-{count}"
                names = [f"m{number}" for number in range(count)]
                for name in names:
                    copytree(one.folder, root / name, dirs_exist_ok=True)
                models = replace(one, name="m0", folder=root)
                server = stack.enter_context(served(peer, models, *(names if peer is BARE else ())))
                while peer is MLBUFFET and not server.ready:
                    time.sleep(0.1)
                paths = [f"/v2/models/{name}/infer" for name in names]
                measure = partial(load, server.url, peer.body(one), connections=16, seconds=plan.seconds, paths=paths)
                field.measures[Key(peer.name, f"{count} model{'s' if count > 1 else ''}")] = measure
        yield field


TENSORFLOW_WAYS = (BARE_TENSORFLOW, MLBUFFET, MLBUFFET_BINARY, MLBUFFET_BATCHING, MLBUFFET_BATCHING_BINARY)

CASES = (
    comparison(
        "onnx",
        "Small ONNX model, JSON",
        "iris",
        (BARE, MLBUFFET, *PYTHON_PEERS, TRITON),
        (1, 16, 64),
        quick=True,
    ),
    comparison(
        "tensorflow",
        "Small TensorFlow model, JSON",
        "mlp",
        (BARE_TENSORFLOW, MLBUFFET, MLBUFFET_BATCHING),
        (1, 16, 64),
        quick=True,
    ),
    comparison("digits", "The demo's CNN, 64 floats", "digits", TENSORFLOW_WAYS, (1, 16)),
    comparison("cnn", "A CNN, 3 072 floats", "cnn", TENSORFLOW_WAYS, (1, 16)),
    comparison(
        "pixels-json", "602 112 floats, JSON", "pixels", (BARE, MLBUFFET, *PYTHON_PEERS, TRITON), (1,), quick=True
    ),
    comparison(
        "pixels-binary", "602 112 floats, binary", "pixels", (BARE_RAW, MLBUFFET_BINARY, MOSEC_RAW), (1, 4), quick=True
    ),
    comparison(
        "heavy",
        "128 layers in ONNX, 256 floats: batches",
        "heavy",
        (
            BARE,
            MLBUFFET,
            MLBUFFET_BINARY,
            MLBUFFET_BATCHING,
            MLBUFFET_BATCHING_BINARY,
            MOSEC,
            MOSEC_BATCHING,
            MOSEC_BATCHING_RAW,
        ),
        (1, 16, 64),
    ),
    comparison("workers", "One process and two", "iris", (MLBUFFET, MLBUFFET_TWO), (1, 16, 64)),
    comparison("process-http", "An ONNX model in a process of its own", "iris", (MLBUFFET, MLBUFFET_ISOLATED), (1, 16)),
    comparison(
        "process-pixels",
        "602 112 floats, binary, for a model in a process of its own",
        "pixels",
        (MLBUFFET_BINARY, MLBUFFET_ISOLATED_BINARY),
        (1,),
    ),
    comparison("asgi", "The bare route under other ASGI servers", "iris", ASGI_SERVERS, (1, 16, 64), asked_for=True),
    Case(name="models", title="1 to 100 models loaded, all asked, 16 connections", unit="requests/s", prepare=_many),
)

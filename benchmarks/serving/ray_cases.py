"""What a cluster costs: MLBuffet on Ray Serve beside a deployment written by hand, and beside a server of its own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from artifacts import Artifact, artifact
from case import Case, Field, Plan
from figures import Key, Round
from serving.cases import measure, setting
from serving.contenders import started
from serving.peers import MLBUFFET, RAY_PEERS, RAY_PEERS_HAPROXY, Peer
from serving.server import Server

HAPROXY = ", HAProxy"


@contextmanager
def _clusters(plan: Plan) -> Iterator[Field]:
    field, model = Field(), artifact("iris")
    with ExitStack() as stack:
        for peers, proxy in ((RAY_PEERS, ""), (RAY_PEERS_HAPROXY, HAPROXY)):
            running = started((*peers, MLBUFFET), model, plan, field, stack)
            for count in (1, 16):
                for peer, server in running.items():
                    key = Key(peer.name.removesuffix(HAPROXY), setting(count) + proxy)
                    field.measures[key] = partial(_measure, server, peer, model, count, plan.seconds)
        yield field


def _measure(server: Server, peer: Peer, model: Artifact, connections: int, seconds: int) -> Round:
    return {**measure(server, peer, model, connections, seconds), "MB": server.memory}


CASE = Case(
    name="ray",
    title="A small ONNX model on Ray Serve, JSON",
    unit="requests/s",
    prepare=_clusters,
    asked_for=True,
)

"""Ten times the load that a server can bear."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from artifacts import Artifact, artifact
from case import Case, Field, Plan
from figures import Key, Round
from rounds import Measure
from serving.arrivals import arrive
from serving.peers import BARE, MLBUFFET, Peer
from serving.server import Server, served
from serving.wrk import load

PEAK, UNLOADED, OVERLOADED = "at its peak", "a tenth of the peak", "ten times the peak"
PEAK_CONNECTIONS = 8


@contextmanager
def _prepare(plan: Plan) -> Iterator[Field]:
    field, model = Field(), artifact("heavy")
    with ExitStack() as stack:
        for peer in (BARE, MLBUFFET):
            plan.tell(f"{peer.name} starts")
            server = stack.enter_context(served(peer, model))
            for setting, measure in _measures(server, peer, model, plan.seconds).items():
                field.measures[Key(peer.name, setting)] = measure
        yield field


def _measures(server: Server, peer: Peer, model: Artifact, seconds: int) -> dict[str, Measure]:
    """The three loads; the peak that a round found is what the other two of that round are measured in."""
    body, peaks = peer.body(model), [0.0]

    def peak() -> Round:
        found = load(server.url, body, connections=PEAK_CONNECTIONS, seconds=seconds)
        peaks.append(found["requests/s"])
        return {"good answers/s": found["requests/s"], "p99 ms": found["p99 ms"]}

    def times(factor: float) -> Measure:
        return lambda: arrive(server.url, body, rate=peaks[-1] * factor, seconds=seconds)

    return {PEAK: peak, UNLOADED: times(0.1), OVERLOADED: times(10)}


CASE = Case(name="overload", title="Ten times the load that it can bear", unit="good answers/s", prepare=_prepare)

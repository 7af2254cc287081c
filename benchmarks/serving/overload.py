"""Ten times the load that a server can bear."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from artifacts import artifact, configured
from case import Case, Field, Plan
from figures import Key, Round
from rounds import Measure
from serving.arrivals import arrive
from serving.bodies import Body
from serving.peers import MLBUFFET
from serving.server import Server, served
from serving.wrk import load

PEAK, UNLOADED, OVERLOADED = "at its peak", "a tenth of the peak", "ten times the peak"
PEAK_CONNECTIONS = 4
SHORT_QUEUE = 4
SHORT = f"MLBuffet, max_queue = {SHORT_QUEUE}"
ARRIVAL_ROUNDS = 4
"""How much longer than other rounds arrivals last: a queue has to fill before it refuses."""


@contextmanager
def _prepare(plan: Plan) -> Iterator[Field]:
    field, model = Field(), artifact("heavy")
    short = configured(model, "heavy-short-queue", f"[scheduling]\nmax_queue = {SHORT_QUEUE}\n")
    with ExitStack() as stack:
        for contender, chosen in ((MLBUFFET.name, model), (SHORT, short)):
            plan.tell(f"{contender} starts")
            server = stack.enter_context(served(MLBUFFET, chosen))
            for setting, measure in _measures(server, MLBUFFET.body(chosen), plan.seconds).items():
                field.measures[Key(contender, setting)] = measure
        yield field


def _measures(server: Server, body: Body, seconds: int) -> dict[str, Measure]:
    """The three loads; the peak that a round found is what the other two of that round are measured in."""
    peaks = [0.0]

    def peak() -> Round:
        found = load(server.url, body, connections=PEAK_CONNECTIONS, seconds=seconds)
        peaks.append(found["requests/s"])
        return {"good answers/s": found["requests/s"], "p99 ms": found["p99 ms"]}

    def times(factor: float) -> Measure:
        return lambda: arrive(server.url, body, rate=peaks[-1] * factor, seconds=seconds * ARRIVAL_ROUNDS)

    return {PEAK: peak, UNLOADED: times(0.1), OVERLOADED: times(10)}


CASE = Case(name="overload", title="Ten times the load that it can bear", unit="good answers/s", prepare=_prepare)

"""Queues, hot models and lost nodes in clusters of up to 1 000 nodes, simulated; two real servers check the queues.

python benchmarks/cluster_simulation.py           # the tables of docs/scaling.md
python benchmarks/cluster_simulation.py --check   # the same calls through two servers and through the simulation
"""

import argparse
import asyncio
import heapq
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

import httpx
from rich.console import Console
from rich.table import Table

Policy = Literal["random", "two choices", "one queue"]
SERVICE, VARIATION = 0.010, 0.25
"""Seconds of a call, and its squared coefficient of variation: a model such as `mlbuffet plan` measures."""
DETECTION = 1.0
"""Seconds until it is known that a node is gone, and its calls are asked again."""
RESTART = 20.0
"""Seconds until the models of a lost node run elsewhere."""


@dataclass(slots=True)
class Call:
    """One call of a model."""

    model: int
    arrival: float
    seconds: float
    retries: int = 0


@dataclass(slots=True)
class Replica:
    """A process that computes one call after the other."""

    node: int
    alive: bool = True
    running: Call | None = None
    waiting: deque[Call] = field(default_factory=deque)

    @property
    def length(self) -> int:
        """How many calls it has."""
        return len(self.waiting) + (self.running is not None)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Models on nodes, and who asks them; a node has one replica."""

    nodes: int
    models: int = 1
    load: float = 0.7
    """The part of the time that a replica computes on average."""
    policy: Policy = "two choices"
    seconds: float = 10.0
    hot: float = 1.0
    """How many times its share the first model gets from a third of the time on."""
    lost: int = 0
    """How many nodes end at a third of the time."""


@dataclass
class Outcome:
    """Latencies in seconds of the calls that arrived, in all and after a third of the time, and how many were lost."""

    latencies: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)
    retried: int = 0
    failed: int = 0


class Simulation:
    """Plays a scenario event by event; a front knows how many calls it has at each replica."""

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        self._scenario = scenario
        self._chance = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._now = 0.0
        self._replicas = [Replica(node) for node in range(scenario.nodes)]
        self._of_model = [self._replicas[number :: scenario.models] for number in range(scenario.models)]
        self._queues: list[deque[Call]] = [deque() for _ in range(scenario.models)]
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Until every call has ended."""
        scenario = self._scenario
        for model in range(scenario.models):
            self._arrive(model)
        if scenario.lost:
            self._at(scenario.seconds / 3, self._lose)
        while self._events:
            self._now, _, event = heapq.heappop(self._events)
            event()
        return self.outcome

    def _at(self, moment: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), event))

    def _arrive(self, model: int) -> None:
        """Let the next call of a model come at a random time, and the one after it then."""
        scenario = self._scenario
        rate = scenario.load * len(self._of_model[model]) / SERVICE
        if model == 0 and self._now > scenario.seconds / 3:
            rate *= scenario.hot
        moment = self._now + self._chance.expovariate(rate)
        if moment > scenario.seconds:
            return

        def come() -> None:
            self._send(Call(model, self._now, service_time(self._chance)))
            self._arrive(model)

        self._at(moment, come)

    def _send(self, call: Call) -> None:
        replicas = self._of_model[call.model]
        alive = [one for one in replicas if one.alive] if self._scenario.lost else replicas
        if self._scenario.policy == "one queue":
            self._queues[call.model].append(call)
            for replica in alive:
                if replica.running is None:
                    self._start(replica, call.model)
                    return
            return
        known = replicas if self._now < self._scenario.seconds / 3 + DETECTION else alive
        if not known:
            self.outcome.failed += 1
            return
        if self._scenario.policy == "random" or len(known) == 1:
            chosen = self._chance.choice(known)
        else:
            chosen = min(self._chance.sample(known, 2), key=lambda one: one.length)
        chosen.waiting.append(call)
        if chosen.running is None and chosen.alive:
            self._start(chosen, call.model)

    def _start(self, replica: Replica, model: int) -> None:
        queue = self._queues[model] if self._scenario.policy == "one queue" else replica.waiting
        if not queue or not replica.alive:
            return
        call = replica.running = queue.popleft()

        def end() -> None:
            if replica.running is not call:  # the node was lost meanwhile
                return
            replica.running = None
            took = self._now - call.arrival
            self.outcome.latencies.append(took)
            if call.arrival > self._scenario.seconds / 3:
                self.outcome.later.append(took)
            self._start(replica, model)

        self._at(self._now + call.seconds, end)

    def _lose(self) -> None:
        """End the last nodes; their calls are asked again once that is known, and they come back later."""
        lost = self._replicas[-self._scenario.lost :]
        for replica in lost:
            replica.alive = False
            self._at(self._now + RESTART, lambda replica=replica: setattr(replica, "alive", True))  # type: ignore[misc]

        def ask_again() -> None:
            for replica in lost:
                left = [*([replica.running] if replica.running else []), *replica.waiting]
                replica.running = None
                replica.waiting.clear()
                for call in left:
                    self.outcome.retried += 1
                    self._send(call)

        for replica in lost:
            if replica.running is not None:
                call, replica.running = replica.running, None
                replica.waiting.appendleft(call)
        self._at(self._now + DETECTION, ask_again)


def service_time(chance: random.Random) -> float:
    """Log-normal, with the mean and the variation above."""
    sigma = math.sqrt(math.log(1 + VARIATION))
    return chance.lognormvariate(math.log(SERVICE) - sigma**2 / 2, sigma)


def part_of(values: Sequence[float], part: float) -> float:
    """That part of the values is at most this."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)] if ordered else math.nan


def queues(console: Console) -> None:
    """How the latency grows with the load, by the way in which a replica is chosen."""
    table = Table(
        "nodes", "load", "random", "two choices", "one queue", title="p99 in times the mean of a call", box=None
    )
    for nodes in (2, 10, 100, 1000):
        for load in (0.5, 0.7, 0.9):
            cells = []
            for policy in ("random", "two choices", "one queue"):
                seconds = max(3.0, min(200.0, 40_000 * SERVICE / (nodes * load)))
                outcome = Simulation(Scenario(nodes=nodes, load=load, policy=policy, seconds=seconds)).run()
                cells.append(f"{part_of(outcome.latencies, 0.99) / SERVICE:.1f}")
            table.add_row(str(nodes), f"{load:.1f}", *cells)
    console.print(table)


def hot_models(console: Console) -> None:
    """What becomes of the others where one model of many is asked more often than planned."""
    table = Table("models", "replicas each", "hot", "p99 of all after it", title="One model gets more", box=None)
    for models, hot in ((10, 1.0), (10, 1.3), (10, 2.0), (100, 2.0)):
        scenario = Scenario(nodes=1000, models=models, hot=hot, seconds=3.0)
        outcome = Simulation(scenario).run()
        took = part_of(outcome.later, 0.99) / SERVICE
        table.add_row(str(models), str(1000 // models), f"{hot:.1f} x", f"{took:.1f} x the mean of a call")
    console.print(table)


def lost_nodes(console: Console) -> None:
    """What clients notice while nodes are gone."""
    table = Table("nodes", "load", "lost", "asked again", "failed", "p99 after it", title="Nodes are lost", box=None)
    for nodes, load, lost in ((10, 0.7, 1), (100, 0.7, 1), (1000, 0.7, 10), (1000, 0.9, 100), (1000, 0.7, 300)):
        outcome = Simulation(Scenario(nodes=nodes, load=load, lost=lost, seconds=4.5)).run()
        took = part_of(outcome.later, 0.99)
        cells = (str(outcome.retried), str(outcome.failed), f"{took:.2f} s")
        table.add_row(str(nodes), f"{load:.1f}", str(lost), *cells)
    console.print(table)


_MODEL = """
import time

from mlbuffet_python import Float64, signature


class Model:
    @signature
    def wait(self, seconds: Float64[1]) -> {"waited": Float64[1]}:
        time.sleep(float(seconds[0]))
        return {"waited": seconds}
"""


def check(console: Console, load: float, seconds: float) -> None:
    """The same calls through two servers, whose model waits as long as a call says, and through the simulation."""
    global SERVICE
    SERVICE = 0.05
    simulated = Simulation(Scenario(nodes=2, load=load, seconds=seconds)).run().latencies
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "wait")
        model.mkdir()
        (model / "model.py").write_text(_MODEL)
        (model / "model.toml").write_text("[scheduling]\nmax_concurrency = 1\nmax_queue = 1000\n")
        with _server(folder) as one, _server(folder) as two:
            measured = asyncio.run(_asked([one, two], load, seconds))
    table = Table("", "calls", "p50", "p90", "p99", title=f"Two nodes, load {load:g}", box=None)
    for name, latencies in (("simulated", simulated), ("measured", measured)):
        parts = [f"{part_of(latencies, part) * 1000:.0f} ms" for part in (0.5, 0.9, 0.99)]
        table.add_row(name, str(len(latencies)), *parts)
    console.print(table)


async def _asked(urls: Sequence[str], load: float, seconds: float) -> list[float]:
    chance = random.Random(0)
    open_calls, latencies = [0] * len(urls), []

    async def ask(client: httpx.AsyncClient, arrival: float) -> None:
        chosen = min(range(len(urls)), key=lambda number: (open_calls[number], chance.random()))
        open_calls[chosen] += 1
        tensor = {"name": "seconds", "shape": [1], "datatype": "FP64", "data": [service_time(chance)]}
        answer = await client.post(f"{urls[chosen]}/v2/models/wait/infer", json={"inputs": [tensor]})
        open_calls[chosen] -= 1
        answer.raise_for_status()
        latencies.append(time.perf_counter() - arrival)

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client, asyncio.TaskGroup() as calls:
        arrival = begun = time.perf_counter()
        while arrival - begun < seconds:
            arrival += chance.expovariate(load * len(urls) / SERVICE)
            await asyncio.sleep(max(0.0, arrival - time.perf_counter()))
            calls.create_task(ask(client, arrival))
    return latencies


@contextmanager
def _server(folder: str) -> Iterator[str]:
    command = [sys.executable, "-m", "mlbuffet", "serve", folder, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            text = ""
            for line in process.stdout:
                text += line
                if line == "}\n":
                    break
            yield json.loads(text)["address"]
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="hold the simulation against two servers")
    parser.add_argument("--load", type=float, default=0.7)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    console = Console()
    if given.check:
        check(console, given.load, given.seconds)
        return
    queues(console)
    hot_models(console)
    lost_nodes(console)


if __name__ == "__main__":
    main()

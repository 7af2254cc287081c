"""Clients of a cluster that ask model after model, and hold each answer against what the model computes."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Event, Lock, Thread

import httpx

Line = tuple[float, float]
"""A model computes the one times x plus the other."""


@dataclass
class Load:
    """What clients were answered so far; ``lines`` are what each model computes, by name and version."""

    url: str
    lines: Mapping[tuple[str, str], Line]
    outcomes: Counter[str] = field(default_factory=Counter)
    """``right``, and what else there was."""
    versions: Counter[str] = field(default_factory=Counter)
    _ended: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    @property
    def answers(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())

    def ask(self, first: int) -> None:
        """Ask until it is enough."""
        names = sorted({name for name, _ in self.lines})
        with httpx.Client(base_url=self.url, timeout=180) as client:
            for number in count(first):
                if self._ended.is_set():
                    return
                outcome, version = self._asked(client, names[number % len(names)], float(number))
                with self._lock:
                    self.outcomes[outcome] += 1
                    self.versions[version] += 1

    def end(self) -> None:
        """Have every client end after its next answer."""
        self._ended.set()

    def _asked(self, client: httpx.Client, name: str, x: float) -> tuple[str, str]:
        body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [x]}]}
        try:
            response = client.post(f"/v2/models/{name}/infer", json=body)
        except httpx.TransportError as error:
            return repr(error), ""
        if response.status_code != httpx.codes.OK:
            return f"{response.status_code} {response.text}"[:300], ""
        answer = response.json()
        version = answer["model_version"]
        slope, offset = self.lines[name, version]
        is_right = answer["model_name"] == name and answer["outputs"][0]["data"] == [slope * x + offset]
        return "right" if is_right else f"wrong: {response.text}"[:300], version


@contextmanager
def load(url: str, lines: Mapping[tuple[str, str], Line], clients: int = 4) -> Iterator[Load]:
    """So many clients that ask until the block ends."""
    found = Load(url, lines)
    threads = [Thread(target=found.ask, args=[number * 7]) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found.end()
        for thread in threads:
            thread.join()

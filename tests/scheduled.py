"""Calls for a scheduler, asked on an event loop of their own."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlbuffet.scheduling import Call, Prediction


@dataclass
class Clock:
    """What a scheduler takes for the time; it stands still unless ``now`` is moved."""

    now: float = 0.0


class Leases:
    """Counts who holds the model."""

    def __init__(self) -> None:
        self.held = 0

    def __call__(self) -> "Leases":
        self.held += 1
        return self

    def release(self) -> None:
        self.held -= 1


def call(*values: float) -> Call:
    return Call({"x": np.array(values, np.float32)})


def doubled(prediction: Prediction | None) -> list[float]:
    """The answer of the model ``Gated``."""
    assert prediction is not None
    values: list[float] = prediction.outputs["y"].tolist()
    return values


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


async def until(reached: Callable[[], bool]) -> None:
    while not reached():
        await asyncio.sleep(0.001)

"""How long calls keep the event loop in one of its turns."""

import asyncio

TURN = 0.01
"""Seconds that the calls of one turn may take in all, so that all else that waits for the loop runs soon."""


class LoopBudget:
    """The time that all models spent on the event loop in its present turn."""

    def __init__(self) -> None:
        self.spent = 0.0
        """Seconds, of which `TURN` may be spent."""

    def spend(self, seconds: float) -> None:
        """Note a call."""
        if not self.spent:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        self.spent += seconds

    def _begin_turn(self) -> None:
        self.spent = 0.0

"""Callers that may not wait long for the process of a model: the event loop."""

from contextvars import ContextVar

from mlbuffet.errors import MLBuffetError

SECONDS = 0.03
"""How long such a caller waits for an answer; the scheduler has no call on the loop after one that took so long."""

CANNOT_WAIT: ContextVar[bool] = ContextVar("cannot_wait", default=False)
"""Whether this task is such a caller."""


class NotAnsweredYet(MLBuffetError):
    """The answer takes longer than the caller may wait; the same call made in a thread gets it."""

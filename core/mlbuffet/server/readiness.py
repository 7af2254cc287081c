"""Whether a server is to get requests."""

from typing import NamedTuple

from mlbuffet.inference import InferenceService


class Unready(NamedTuple):
    """Why it is not."""

    reason: str
    retry_after: float | None = 1
    """In how many seconds it may be; ``None`` where waiting is of no use."""


def why_not_ready(service: InferenceService, *, strict: bool, draining: bool) -> Unready | None:
    """``None`` once the loading of every model was attempted, or where it is ``strict`` was successful."""
    if draining:
        return Unready("the server is being stopped")
    if not service.has_started:
        return Unready("models are being loaded")
    if strict and (unready := service.unready()):
        names = ", ".join(version.model for version in unready)
        delays = [version.retry_after for version in unready if version.retry_after is not None]
        return Unready(f"models are not ready: {names}", min(delays, default=None))
    return None

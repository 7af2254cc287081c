"""What it costs a request to have an id, to be counted, and to be logged."""

import asyncio
import logging
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlbuffet.server.observed import Observed
from mlbuffet.server.traffic import Traffic

ROUNDS = 30
CALLS = 5_000


async def bare(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 that is how ASGI calls
    """Answer at once."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def receive() -> Message:
    """Nothing."""
    return {"type": "http.request"}


async def send(message: Message) -> None:
    """Nowhere."""


async def seconds_of(app: ASGIApp, headers: list[tuple[bytes, bytes]]) -> float:
    """How long a request takes."""
    scope = {
        "type": "http",
        "path": "/v2/models/m/infer",
        "raw_path": b"/v2/models/m/infer",
        "headers": headers,
        "method": "POST",
        "client": ("127.0.0.1", 1),
    }
    begin = perf_counter()
    for _ in range(CALLS):
        await app(scope, receive, send)
    return (perf_counter() - begin) / CALLS


async def main() -> None:
    """Print the figures: the best of alternating rounds."""
    logger = logging.getLogger("mlbuffet.access")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    logger.setLevel(logging.INFO)
    plain = [(b"host", b"localhost:8000"), (b"content-type", b"application/json"), (b"content-length", b"80")]
    apps: dict[str, tuple[ASGIApp, list[tuple[bytes, bytes]]]] = {
        "bare": (bare, plain),
        "observed": (Observed(bare, traffic=Traffic(), access_log=False), plain),
        "observed, with an id of the client": (
            Observed(bare, traffic=Traffic(), access_log=False),
            [*plain, (b"x-request-id", b"81d6a2f0c3b17e55")],
        ),
        "observed, with an access log that goes nowhere": (
            Observed(bare, traffic=Traffic(), access_log=True),
            plain,
        ),
    }
    best = dict.fromkeys(apps, float("inf"))
    for _ in range(ROUNDS):
        for name, (app, headers) in apps.items():
            best[name] = min(best[name], await seconds_of(app, headers))
    for name, seconds in best.items():
        print(f"{name}: {seconds * 1e6:.2f} us, {(seconds - best['bare']) * 1e6:+.2f}")


if __name__ == "__main__":
    asyncio.run(main())

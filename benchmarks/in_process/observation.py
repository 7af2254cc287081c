"""What it costs a request to have an id, to be counted, and to be logged."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from case import Case, Field, Plan
from figures import Key, Round
from mlbuffet.server.http.access_log import RequestLog
from mlbuffet.telemetry.counter_table import CounterTable
from mlbuffet.telemetry.request_counters import RequestCounters

CALLS = 20_000
Headers = list[tuple[bytes, bytes]]
PLAIN: Headers = [(b"host", b"localhost:8000"), (b"content-type", b"application/json"), (b"content-length", b"80")]


@contextmanager
def _prepare(plan: Plan) -> Iterator[Field]:
    plan.tell("applications")
    logger = logging.getLogger("mlbuffet.access")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    logger.setLevel(logging.INFO)
    observed = RequestLog(_bare, counters=RequestCounters(CounterTable()), access_log=False)
    logged = RequestLog(_bare, counters=RequestCounters(CounterTable()), access_log=True)
    yield Field(
        {
            Key("bare"): partial(_microseconds, _bare, PLAIN),
            Key("observed"): partial(_microseconds, observed, PLAIN),
            Key("observed, with an id"): partial(_microseconds, observed, [*PLAIN, (b"x-request-id", b"81d6a2f0c3")]),
            Key("with an access log"): partial(_microseconds, logged, PLAIN),
        }
    )


async def _bare(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 that is how ASGI calls
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _receive() -> Message:
    return {"type": "http.request"}


async def _send(message: Message) -> None:
    """Nowhere."""


def _microseconds(app: ASGIApp, headers: Headers) -> Round:
    scope = {
        "type": "http",
        "path": "/v2/models/m/infer",
        "raw_path": b"/v2/models/m/infer",
        "headers": headers,
        "method": "POST",
        "client": ("127.0.0.1", 1),
    }

    async def ask() -> None:
        for _ in range(CALLS):
            await app(scope, _receive, _send)

    begin = perf_counter()
    asyncio.run(ask())
    return {"us": (perf_counter() - begin) / CALLS * 1e6}


CASE = Case(name="observation", title="A request that is counted, named and logged", unit="us", prepare=_prepare)

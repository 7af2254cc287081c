"""Load that does not wait for answers: requests that arrive at a fixed rate, whatever becomes of those before them."""

import asyncio
import statistics
import time

import aiohttp

from figures import Round
from serving.bodies import Body

PATIENCE = 10.0
"""How long a client waits, in seconds."""


def arrive(url: str, body: Body, *, rate: float, seconds: int) -> Round:
    """``rate`` requests a second: good answers a second, how long those took, and how many were refused a second."""
    return asyncio.run(_arrive(url + body.path, body, rate, seconds))


async def _arrive(url: str, body: Body, rate: float, seconds: int) -> Round:
    accepted: list[float] = []
    statuses: list[int] = []
    begin = time.perf_counter()

    async def ask(session: aiohttp.ClientSession) -> None:
        sent = time.perf_counter()
        try:
            async with session.post(url, data=body.content, headers=body.headers) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return statuses.append(0)
        statuses.append(answer.status)
        if answer.status == 200:
            accepted.append(time.perf_counter() - sent)
        return None

    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        requests = []
        for number in range(int(rate * seconds)):
            if (early := begin + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            requests.append(asyncio.create_task(ask(session)))
        await asyncio.gather(*requests)
    took = time.perf_counter() - begin
    return {
        "good answers/s": len(accepted) / took,
        "p99 ms": statistics.quantiles(accepted, n=100)[-1] * 1000 if len(accepted) > 1 else float("nan"),
        "refused/s": statuses.count(503) / took,
        "lost/s": statuses.count(0) / took,
    }

"""Where the time of one small request goes, from the bytes that a socket gave to those that it is given."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter

import uvloop
from typing_extensions import override
from uvicorn.server import ServerState

from artifacts import artifact
from case import Case, Field, Plan
from figures import Key, Round
from mlbuffet import Runtimes
from mlbuffet.repository import ModelRepository, find_models
from mlbuffet.server import create_app
from mlbuffet.server.fast_path.protocol import FastHttpToolsProtocol
from mlbuffet.server.processes.server_process import Server
from mlbuffet.server.protocols.open_inference.request_templates import RequestDecoder
from mlbuffet.server.protocols.open_inference.requests import take_apart
from mlbuffet.server.protocols.open_inference.responses import encode_response
from serving.bodies import open_inference

CALLS = 2000
CONNECTIONS = 16


class _Dropping(asyncio.Transport):
    """Counts the answers, and drops them."""

    answers = 0

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.answers += bytes(data).count(b"HTTP/1.1 200 OK")

    @override
    def is_closing(self) -> bool:
        return False

    @override
    def close(self) -> None:
        """Nothing."""


@contextmanager
def _prepare(plan: Plan) -> Iterator[Field]:
    plan.tell("a server is made")
    chosen = artifact("iris")
    runtimes = Runtimes()
    runtimes.discover()
    repository = ModelRepository(runtimes)
    repository.update(find_models(chosen.folder, runtimes))
    (version,) = repository
    body = open_inference(chosen)
    head = f"POST {body.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body.content)}\r\n\r\n"
    data = head.encode() + body.content
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        running = _running(repository)
        protocols = runner.run(running.__aenter__())
        model = version.model
        decoder = RequestDecoder()
        call = decoder.decode(take_apart(body.content), model.signatures)
        outputs = model.predict(chosen.inputs)
        yield Field(
            {
                Key("the whole request"): lambda: runner.run(_asked(protocols, data)),
                Key("its body decoded"): _times(lambda: decoder.decode(take_apart(body.content), model.signatures)),
                Key("Model.predict"): _times(lambda: model.predict(chosen.inputs)),
                Key("its answer encoded"): _times(lambda: encode_response(call, "iris", 1, outputs)),
            }
        )
        runner.run(running.__aexit__(None, None, None))


@asynccontextmanager
async def _running(repository: ModelRepository) -> AsyncIterator[list[FastHttpToolsProtocol]]:
    """Connections to a server of ``repository`` that has found its model quick."""
    loaded = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell() -> None:
        loop.call_soon_threadsafe(loaded.set)

    config = Server(create_app(repository, on_loaded=tell)).config
    config.load()
    lifespan = config.lifespan_class(config)
    await lifespan.startup()
    await loaded.wait()
    protocols = []
    for _ in range(CONNECTIONS):
        protocols.append(FastHttpToolsProtocol(config, ServerState(), lifespan.state))
        protocols[-1].connection_made(_Dropping())
    yield protocols
    await lifespan.shutdown()


async def _asked(protocols: list[FastHttpToolsProtocol], data: bytes) -> Round:
    """Turns of the loop in which each connection asks once; those of which one had to wait do not count."""
    spent, counted = 0.0, 0
    while counted < CALLS:
        before = _answers(protocols)
        begin = perf_counter()
        for protocol in protocols:
            protocol.data_received(data)
        await asyncio.sleep(0)
        took = perf_counter() - begin
        if _answers(protocols) - before == CONNECTIONS:
            spent += took
            counted += CONNECTIONS
        while _answers(protocols) - before < CONNECTIONS:
            await asyncio.sleep(0.001)
    return {"us": spent / counted * 1e6}


def _answers(protocols: list[FastHttpToolsProtocol]) -> int:
    return sum(protocol.transport.answers for protocol in protocols if isinstance(protocol.transport, _Dropping))


def _times(work: Callable[[], object]) -> Callable[[], Round]:
    def measure() -> Round:
        begin = perf_counter()
        for _ in range(CALLS):
            work()
        return {"us": (perf_counter() - begin) / CALLS * 1e6}

    return measure


CASE = Case(name="request", title="Where the time of a small request goes", unit="us", prepare=_prepare, quick=True)

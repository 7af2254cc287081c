"""A server of the module's models that answers gRPC too, and calls of it as bytes."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tritonclient.grpc import InferenceServerClient

from faults import LIMIT
from grpc_calls import MODELS, Serve
from mlbuffet import Runtimes
from mlbuffet.server import ServerSettings
from mlbuffet.server.processes.port_reservation import reserve
from small_runtimes import write_models


@pytest.fixture(scope="session")
def serve_grpc(serve: Callable[..., AbstractContextManager[httpx.Client]]) -> Serve:
    """A function that serves the models at a path, and gives the address of gRPC and a client of HTTP."""

    @contextmanager
    def served(
        path: Path, settings: ServerSettings | None = None, runtimes: Runtimes | None = None, **more: Any
    ) -> Iterator[tuple[str, httpx.Client]]:
        with reserve("127.0.0.1", 0) as held:
            host, port = held.getsockname()
            if "MLBUFFET_TEST_SERVE" in os.environ:  # its server may not want to share the port
                held.close()
            settings = replace(settings or ServerSettings(), grpc_address=(host, port))
            with serve(path, settings, runtimes, **more) as client:
                yield f"{host}:{port}", client

    return served


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, serve_grpc: Serve) -> Iterator[tuple[str, httpx.Client]]:
    """The address of gRPC, and a client of HTTP, of one server."""
    models = write_models(tmp_path_factory.mktemp("models"), MODELS)
    with serve_grpc(models, ServerSettings(max_body=LIMIT, allow_changes=True)) as found:
        yield found


@pytest.fixture(scope="module")
def address(both: tuple[str, httpx.Client]) -> str:
    return both[0]


@pytest.fixture(scope="module")
def http(both: tuple[str, httpx.Client]) -> httpx.Client:
    return both[1]


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(address) as triton:
        yield triton

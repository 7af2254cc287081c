"""A server of the small models in a process of its own: ``python fault_server.py <folder>`` prints its address."""

import sys
from collections.abc import Callable
from pathlib import Path

from faults import LIMIT
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.processes.server_process import Server, address_of, listen
from small_runtimes import repository_of, small_runtimes


def serve(models: Path, on_loaded: Callable[[Server, str], None]) -> None:
    """Serve ``models`` until the server is stopped; ``on_loaded`` is told which server it is, and its address."""
    settings = ServerSettings(max_body=LIMIT, allow_changes=True)
    with listen("127.0.0.1", 0) as listener:
        app = create_app(
            repository_of(models, small_runtimes()), settings, on_loaded=lambda: on_loaded(server, address_of(listener))
        )
        server = Server(app, settings)
        server.run(sockets=[listener])


if __name__ == "__main__":
    serve(Path(sys.argv[1]), lambda _, address: print(address, flush=True))

"""Sockets are bound before models are loaded, and addresses are such as a person can paste."""

import socket
import subprocess
import sys

import pytest

from mlbuffet import Runtimes
from mlbuffet.repository import ModelRepository
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.processes.server_process import Server, address_of, listen


def test_a_free_port_is_found_and_shown() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_ipv6_address_is_written_in_brackets() -> None:
    if not socket.has_ipv6:
        return
    with listen("::1", 0) as listener:
        assert address_of(listener).startswith("http://[::1]:")


def test_a_port_in_use_is_an_error_at_once() -> None:
    with listen("127.0.0.1", 0) as listener, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", listener.getsockname()[1])


def test_a_server_without_the_fast_path_knows_nothing_of_it() -> None:
    settings = ServerSettings(fast_path=False)
    app = create_app(ModelRepository(Runtimes()), settings)
    protocols = [Server(app, settings).config.http, Server(app).config.http]
    assert ["fast_path" in str(protocol) for protocol in protocols] == [False, True]
    assert not any("fast_path" in one.cls.__module__ for one in app.user_middleware)


def test_a_server_without_the_fast_path_never_imports_it() -> None:
    program = (
        "import sys\n"
        "from importlib.abc import MetaPathFinder\n"
        "class Missing(MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if 'fast_path' in name: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from mlbuffet import Runtimes\n"
        "from mlbuffet.repository import ModelRepository\n"
        "from mlbuffet.server import ServerSettings, create_app\n"
        "from mlbuffet.server.processes.server_process import Server\n"
        "settings = ServerSettings(fast_path=False)\n"
        "Server(create_app(ModelRepository(Runtimes()), settings), settings).config.load()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

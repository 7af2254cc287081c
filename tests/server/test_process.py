"""Sockets are bound before models are loaded, and addresses are such as a person can paste."""

import socket

import pytest

from mlbuffet.server.processes.server_process import address_of, listen


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

"""Ports at which several processes listen, each with a socket of its own."""

import socket


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds ``port`` (0: a free one) of ``host`` and gets no connections; processes of this user may
    listen there that set ``SO_REUSEPORT``. Raises ``OSError``.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as alone:  # else another server might have the port, which sets that option too
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what is left of closed connections is no server
        alone.bind(address)
        free = alone.getsockname()
    held = socket.socket(family, kind)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(free)
    except OSError:
        held.close()
        raise
    return held

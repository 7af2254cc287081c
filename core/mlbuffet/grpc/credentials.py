"""The certificates of a gRPC server, which may be replaced while it runs."""

from collections.abc import Callable
from typing import TypeAlias

import grpc

Pem: TypeAlias = tuple[bytes, bytes, bytes | None]
"""Key, certificate chain, and those by one of which the certificate of each client must be signed, if it must."""


def server_credentials(current: Callable[[], Pem]) -> grpc.ServerCredentials:
    """TLS with the certificates that are ``current`` when a client connects; that is called in threads of gRPC."""
    known = current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal known
        if (now := current()) is known:
            return None
        known = now
        return _configuration(now)

    must_show = known[2] is not None
    return grpc.dynamic_ssl_server_credentials(_configuration(known), fetch, require_client_authentication=must_show)


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    key, chain, client_roots = pem
    return grpc.ssl_server_certificate_configuration([(key, chain)], client_roots)

"""Ends with 0 where the server of this container is ready, for HEALTHCHECK: the image has no curl.

It asks at MLBUFFET_PORT, and over TLS where MLBUFFET_SSL_CERTFILE is set. A server whose port or certificate is said on
its command line, or that listens elsewhere than on loopback, needs a check of its own.
"""

import os
import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection

READY = "/v2/health/ready"


def connection() -> HTTPConnection:
    """A connection to the server."""
    port = int(os.environ.get("MLBUFFET_PORT") or 8000)
    if os.environ.get("MLBUFFET_SSL_CERTFILE"):
        any_certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        any_certificate.check_hostname = False  # it names other hosts than this
        any_certificate.verify_mode = ssl.CERT_NONE
        return HTTPSConnection("127.0.0.1", port, timeout=4, context=any_certificate)
    return HTTPConnection("127.0.0.1", port, timeout=4)


def main() -> str | None:
    """What is wrong, if anything is."""
    asked = connection()
    try:
        asked.request("GET", READY)
        status = asked.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{READY}: {error}"
    return None if status == 200 else f"{READY} answers {status}"


if __name__ == "__main__":
    sys.exit(main())

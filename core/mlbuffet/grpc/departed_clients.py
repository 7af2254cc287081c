"""What grpcio logs of clients that go away while they are answered: a traceback each, which is for DEBUG."""

import logging

import grpc

logger = logging.getLogger("grpc._cython.cygrpc")


def quiet_departed_clients() -> None:
    """From now on; once is enough."""
    logger.addFilter(_is_notable)


def _is_notable(record: logging.LogRecord) -> bool:
    is_of_a_client = record.exc_info is not None and isinstance(record.exc_info[1], grpc.aio.InternalError)
    return not is_of_a_client or logger.isEnabledFor(logging.DEBUG)

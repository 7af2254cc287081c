"""TLS with certificates that can be read again while the server runs."""

import logging
import ssl
from typing import Any

from typing_extensions import override

from mlbuffet.server.certificates import Certificates, WrongCertificates

logger = logging.getLogger("mlbuffet.server.tls")


class ReloadableContext(ssl.SSLContext):
    """The context of a server, in which each connection gets the certificates of the last `reload`."""

    _certificates: Certificates
    _current: ssl.SSLContext

    @classmethod
    def of(cls, certificates: Certificates) -> "ReloadableContext":
        """With what ``certificates`` hold now. Raises `WrongCertificates`."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._certificates = certificates
        context._current = certificates.context()
        return context

    def reload(self) -> None:
        """Read the files again; where they are wrong, those before stay, and the log says why."""
        try:
            self._current = self._certificates.context()
        except WrongCertificates as error:
            logger.error("the certificates stay as they were: %s", error)
        else:
            logger.warning("the certificates were read again from '%s'", self._certificates.certfile)

    @override
    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        return self._current.wrap_bio(*arguments, **options)

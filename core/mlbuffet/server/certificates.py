"""The certificates of a server, in files."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mlbuffet.server.settings import ServerSettings


class WrongCertificates(ValueError):
    """The files are no certificates that a server can use."""


class Pem(NamedTuple):
    """What the files of a server hold, in PEM."""

    key: bytes
    chain: bytes
    client_roots: bytes | None
    """``None`` where clients show no certificate."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files of a server: its certificate chain, its key, and whose certificates clients must show, if they must."""

    certfile: Path
    keyfile: Path | None = None
    """``None``: it is in ``certfile``."""
    ca_certs: Path | None = None

    def context(self) -> ssl.SSLContext:
        """What they hold now. Raises `WrongCertificates`."""
        for file in filter(None, (self.certfile, self.keyfile, self.ca_certs)):
            _check_readable(file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        key = self.keyfile or self.certfile
        try:
            context.load_cert_chain(self.certfile, key, password=_no_password)
        except ssl.SSLError as error:
            if self.keyfile is None and _holds_no_key(self.certfile):
                raise WrongCertificates(
                    f"there is no key in '{self.certfile}': give the file of the key with --ssl-keyfile"
                ) from error
            raise WrongCertificates(
                f"'{self.certfile}' and '{key}' are no PEM files of a certificate chain and its key{_reason(error)}"
            ) from error
        if self.ca_certs is not None:
            try:
                context.load_verify_locations(self.ca_certs)
            except ssl.SSLError as error:
                raise WrongCertificates(f"'{self.ca_certs}' holds no certificates in PEM{_reason(error)}") from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def pem(self) -> Pem:
        """What they hold now, checked as for `context`. Raises `WrongCertificates`."""
        self.context()
        roots = None if self.ca_certs is None else self.ca_certs.read_bytes()
        return Pem((self.keyfile or self.certfile).read_bytes(), self.certfile.read_bytes(), roots)


def certificates_of(settings: ServerSettings) -> Certificates | None:
    """Those that the settings name; ``None`` for a server without TLS."""
    if settings.ssl_certfile is None:
        return None
    return Certificates(settings.ssl_certfile, settings.ssl_keyfile, settings.ssl_ca_certs)


def _check_readable(file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise WrongCertificates(f"'{file}' cannot be read: {(error.strerror or str(error)).lower()}") from error


def _holds_no_key(file: Path) -> bool:
    """Whether it holds a certificate, and nothing else that matters."""
    content = file.read_bytes()
    return b"BEGIN CERTIFICATE" in content and b"PRIVATE KEY" not in content


def _no_password() -> str:
    raise WrongCertificates("the key is encrypted; a server takes one without a password, in a file for its user alone")


def _reason(error: ssl.SSLError) -> str:
    return f" ({error.reason.lower().replace('_', ' ')})" if error.reason else ""

"""A token in a file, which may be replaced while the server runs."""

import logging
from pathlib import Path
from time import monotonic

LOOK_SECONDS = 1.0
"""How often the file is looked at, at most."""

logger = logging.getLogger("mlbuffet.token")


class TokenFile:
    """The token in a file, its only word. Raises ``ValueError`` where there is none.

    It is read again when the file has changed. Where it holds no token then, the one before stays, which is logged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _look(path)
        self._token = read_token(path)
        self._due = 0.0

    @property
    def token(self) -> str:
        """The token that counts now."""
        if (now := monotonic()) >= self._due:
            self._due = now + LOOK_SECONDS
            if (seen := _look(self._path)) != self._seen:
                self._seen = seen
                self._read_again()
        return self._token

    def _read_again(self) -> None:
        try:
            self._token = read_token(self._path)
        except ValueError as error:
            logger.error("the token stays as it was: %s", error)
        else:
            logger.warning("there is another token in '%s'", self._path)


Token = str | TokenFile


def value_of(token: Token) -> str:
    """The token that counts now."""
    return token if isinstance(token, str) else token.token


def read_token(path: Path) -> str:
    """The token in a file, its only word. Raises ``ValueError``."""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"the token in '{path}' cannot be read: {(reason or str(error)).lower()}") from error
    if not token or not token.isascii() or len(token.split()) != 1:
        raise ValueError(f"'{path}' must hold a token, such as: openssl rand -hex 32 > '{path}'")
    return token


def _look(path: Path) -> object:
    """What changes when the file does, also where it is a link that moves."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size

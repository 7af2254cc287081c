"""A running server, as the commands see it that change its models."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

import typer

from mlbuffet.errors import RequestFailed

_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Client:
    """The server at ``url``, with the token that it wants for changes, if it does. Raises `RequestFailed`."""

    url: str
    token: str | None = None

    def models(self) -> list[dict[str, Any]]:
        """Every version of every model: its state, and whether it is its model's default."""
        index = self._ask("POST", "/v2/repository/index")
        names = {version["name"] for version in index}
        defaults = {name: self._ask("GET", f"{_address(name)}/information")["default_version"] for name in names}
        return [{**one, "default": defaults[one["name"]] == int(one["version"])} for one in index]

    def push(self, name: str, file: BinaryIO, size: int, told: Mapping[str, str]) -> int:
        """Upload a model; the result is the number of the new version."""
        answer = self._ask("PUT", f"{_address(name)}?{urlencode(told)}", file, {"Content-Length": str(size)})
        return int(answer["version"])

    def choose(self, name: str, version: int) -> None:
        """Make a version the default."""
        self._ask("POST", f"{_address(name)}/default", json.dumps({"default": version}).encode())

    def remove(self, tag: str) -> int:
        """Remove a version, or the default; the result is its number."""
        return int(self._ask("DELETE", _address(tag))["version"])

    def _ask(
        self, method: str, address: str, body: bytes | BinaryIO | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        site = urlsplit(self.url)
        kind = {"http": HTTPConnection, "https": HTTPSConnection}.get(site.scheme)
        if kind is None or not site.netloc:
            raise typer.BadParameter(f"{self.url!r} is no address of a server, such as http://127.0.0.1:8000")
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connection = kind(site.netloc, blocksize=_BLOCK)
        try:
            status, answer = _exchanged(
                connection, method, site.path.rstrip("/") + address, body, {**token, **(headers or {})}
            )
        except (OSError, HTTPException) as error:
            raise RequestFailed(self.url, f"it cannot be asked: {error or type(error).__name__}") from error
        finally:
            connection.close()
        return _understood(self.url, status, answer)


def _exchanged(
    connection: HTTPConnection, method: str, address: str, body: bytes | BinaryIO | None, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    try:
        connection.request(method, address, body, dict(headers))
    except (BrokenPipeError, ConnectionResetError):  # it refuses what it has not read to the end, and says why
        if connection.sock is None:
            raise
    answer = connection.getresponse()
    return answer.status, answer.read()


def _understood(url: str, status: int, answer: bytes) -> Any:
    try:
        content = json.loads(answer)
    except ValueError:
        raise RequestFailed(url, f"its answer (status {status}) is not that of MLBuffet") from None
    if status >= 400:
        reason = content.get("error", "") if isinstance(content, dict) else ""
        raise RequestFailed(url, f"{reason or 'no reason is given'} (status {status})")
    return content


def _address(tag: str) -> str:
    return f"/api/v1/models/{quote(tag, safe=':')}"

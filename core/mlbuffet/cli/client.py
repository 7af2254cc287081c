"""The client of a running server that the commands use which change its models."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

import typer

from mlbuffet.errors import RequestFailed


@dataclass(frozen=True, slots=True)
class Client:
    """The server at ``url``, with the token that it wants for changes, if it does. Raises `RequestFailed`."""

    url: str
    token: str | None = None

    def models(self) -> list[dict[str, Any]]:
        """Every version of every model: its state, and whether it is its model's default."""
        index = self._request("POST", "/v2/repository/index")
        names = {version["name"] for version in index}
        defaults = {name: self._request("GET", f"{_path(name)}/information")["default_version"] for name in names}
        return [{**one, "default": defaults[one["name"]] == int(one["version"])} for one in index]

    def push(self, name: str, file: BinaryIO, size: int, fields: Mapping[str, str]) -> int:
        """Upload a model; the result is the number of the new version."""
        path = f"{_path(name)}?{urlencode(fields)}"
        return int(self._request("PUT", path, file, {"Content-Length": str(size)})["version"])

    def choose(self, name: str, version: int) -> None:
        """Make a version the default."""
        self._request("POST", f"{_path(name)}/default", json.dumps({"default": version}).encode())

    def remove(self, tag: str) -> int:
        """Remove a version, or the default; the result is its number."""
        return int(self._request("DELETE", _path(tag))["version"])

    def _request(
        self, method: str, path: str, body: bytes | BinaryIO | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The JSON of the response."""
        site = urlsplit(self.url)
        kind = {"http": HTTPConnection, "https": HTTPSConnection}.get(site.scheme)
        if kind is None or not site.netloc:
            raise typer.BadParameter(f"{self.url!r} is no address of a server, such as http://127.0.0.1:8000")
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connection = kind(site.netloc, blocksize=2**20)
        try:
            try:
                connection.request(method, site.path.rstrip("/") + path, body, {**token, **(headers or {})})
            except (BrokenPipeError, ConnectionResetError):  # a refusal that came before the whole body was read
                if connection.sock is None:
                    raise
            response = connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            raise RequestFailed(self.url, f"it cannot be asked: {error or type(error).__name__}") from error
        finally:
            connection.close()
        try:
            content = json.loads(text)
        except ValueError:
            reason = f"its answer (status {response.status}) is not that of MLBuffet"
            raise RequestFailed(self.url, reason) from None
        if response.status >= 400:
            reason = content.get("error", "") if isinstance(content, dict) else ""
            raise RequestFailed(self.url, f"{reason or 'no reason is given'} (status {response.status})")
        return content


def _path(tag: str) -> str:
    return f"/api/v1/models/{quote(tag, safe=':')}"

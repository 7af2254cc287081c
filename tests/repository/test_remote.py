"""A folder at a URL is copied whole, and only what changed is copied again."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fsspec
import pytest
from typing_extensions import override

from mlbuffet import RemoteFailed, Runtimes
from mlbuffet.places import is_remote, place_of
from mlbuffet.repository import RemoteFolder, Sources, default_cache, remote


class Quiet(SimpleHTTPRequestHandler):
    """Python's own server, which lists folders; it keeps what it was asked."""

    asked: list[str]

    @override
    def log_message(self, format: str, *arguments: object) -> None:
        if self.command == "GET":
            self.asked.append(self.path)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "REFRESH_SECONDS", 0)


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    system.pipe("/models/m/1/x.half", b"half")
    system.pipe("/models/m/2/x.half", b"half")
    yield system
    system.rm("/models", recursive=True)


def found(folder: RemoteFolder, runtimes: Runtimes) -> list[str]:
    models = Sources([folder], runtimes).find()
    return [f"{stored.name}/{stored.version}" for model in models for stored in model.versions]


def test_a_folder_is_copied_and_followed(
    memory: fsspec.AbstractFileSystem, tmp_path: Path, runtimes: Runtimes, always: None
) -> None:
    folder = RemoteFolder("memory://models", tmp_path)
    assert found(folder, runtimes) == ["m/1", "m/2"]
    assert folder.path.name == "models"
    assert (folder.path / "m/1/x.half").read_text() == "half"
    kept = (folder.path / "m/1/x.half").stat().st_ctime_ns
    memory.rm("/models/m/2", recursive=True)
    memory.pipe("/models/m/3/x.half", b"half")
    memory.pipe("/models/m/.hidden/x.half", b"half")
    assert found(folder, runtimes) == ["m/1", "m/3"]
    assert (folder.path / "m/1/x.half").stat().st_ctime_ns == kept
    memory.pipe("/models/m/1/x.half", b"other")
    folder.refresh()
    assert (folder.path / "m/1/x.half").read_text() == "other"
    assert not (tmp_path / folder.path.parent / "incoming").exists()


def test_a_folder_of_a_web_server_is_copied_once(tmp_path: Path, runtimes: Runtimes) -> None:
    for name in ("m/1/x.half", "n/x.half"):
        (tmp_path / "served/models" / name).parent.mkdir(parents=True)
        (tmp_path / "served/models" / name).write_text("half")
    asked: list[str] = []
    handler = type("Handler", (Quiet,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path / "served")) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/models/"
        assert found(RemoteFolder(url, tmp_path / "cache"), runtimes) == ["m/1", "n/1"]
        assert sum(path.endswith(".half") for path in asked) == 2
        again = RemoteFolder(url, tmp_path / "cache")
        again.refresh()
        again.refresh()
        assert sum(path.endswith(".half") for path in asked) == 2
        server.shutdown()
        thread.join()
    with pytest.raises(RemoteFailed, match="cannot be copied"):
        RemoteFolder(url, tmp_path / "other").refresh()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("memory://nothing-here", "there is no file in it"),
        ("nosuch://bucket/models", "ValueError: Protocol not known: nosuch"),
    ],
)
def test_what_cannot_be_copied_says_why(tmp_path: Path, url: str, reason: str) -> None:
    with pytest.raises(RemoteFailed, match=f"'{url}' cannot be copied: {reason}"):
        RemoteFolder(url, tmp_path).refresh()


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://127.0.0.1:1/a.half", "ConnectionRefusedError"),
        ("https://no-such-host.invalid/a.half", "gaierror"),
        ("https://127.0.0.1:{port}/a.half", "SSLError"),
        ("http://127.0.0.1:{port}/lost.half", "ClientResponseError"),
    ],
)
def test_what_cannot_be_reached_says_why(tmp_path: Path, url: str, cause: str) -> None:
    handler = partial(type("Handler", (Quiet,), {"asked": []}), directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(RemoteFailed, match=f"cannot be copied: {cause}: ") as failure:
            RemoteFolder(url.format(port=server.server_port), tmp_path / "cache").refresh()
        server.shutdown()
        thread.join()
    assert cause in [one.__name__ for one in type(failure.value.__cause__).__mro__]


def test_a_url_is_told_from_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert [is_remote(place) for place in ("s3://b/m", "models", "/a/b", "C:\\a")] == [True, False, False, False]
    assert [place_of(place) for place in ("S3://B/m", "FILE:///a/B")] == ["s3://B/m", Path("/a/B")]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "mlbuffet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache/mlbuffet"

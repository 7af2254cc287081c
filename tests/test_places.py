"""A model is loaded from a path or a URL; what is neither says what to do."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import fsspec
import pytest
from typing_extensions import override

import mlbuffet
from mlbuffet import ArtifactNotFound, LoadFailed, NoRuntime, RemoteFailed, Runtimes
from mlbuffet.repository import RemoteFolder, Sources, source_of
from processes import environment_with_runtimes
from small_runtimes import write_models


class Quiet(SimpleHTTPRequestHandler):
    """Python's own server, which lists folders; it keeps what was fetched."""

    fetched: list[str]

    @override
    def log_message(self, format: str, *arguments: object) -> None:
        if self.command == "GET":
            self.fetched.append(self.path)


@pytest.fixture
def fetched() -> list[str]:
    return []


@pytest.fixture
def web(tmp_path: Path, fetched: list[str]) -> Iterator[str]:
    """The address of a web server with models."""
    files = {"a.half": "half", "m/1/x.half": "half", "m/2/x.half": "half", "m/model.toml": "versions = [1]"}
    root = write_models(tmp_path / "served", files | {"page.half": "<!DOCTYPE html><p>Please log in"})
    handler = partial(type("Handler", (Quiet,), {"fetched": fetched}), directory=root)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def answer(path: Any, runtimes: Runtimes) -> list[float]:
    with mlbuffet.load(path, runtimes=runtimes) as model:
        answers: list[float] = model.predict({"x": [2]})["y"].tolist()
        return answers


def test_a_file_at_a_url_is_copied_once_and_loaded(web: str, fetched: list[str], runtimes: Runtimes) -> None:
    for _ in range(2):
        with mlbuffet.load(f"{web}/a.half?token=a/b", runtimes=runtimes) as model:
            assert (model.path.name, model.runtime.name) == ("a.half", "half")
            assert model.predict({"x": [2]})["y"].tolist() == [3]
    assert fetched == ["/a.half?token=a/b"]


def test_a_folder_at_a_url_is_the_folder_of_a_model(web: str, runtimes: Runtimes, cache: Path) -> None:
    for url in (f"{web}/m/", f"{web}/m"):
        with mlbuffet.load(url, runtimes=runtimes) as model:
            assert model.path.relative_to(cache).parts[-3:] == ("m", "1", "x.half")
    assert mlbuffet.which(f"{web}/m/", runtimes=runtimes).chosen == "half"
    assert mlbuffet.which(f"{web}/a.half", runtimes=runtimes).accepting == ("half",)


def test_a_listing_names_files_below_it_alone(web: str, tmp_path: Path, runtimes: Runtimes) -> None:
    links = ["?C=N;O=D", "a%20b.half", "%2Fetc/passwd", "%2e%2e/a.half", "../a.half", ".hidden"]
    page = "".join(f'<a href="{link}">x</a>' for link in links)
    files = {"a b.half": "half", "etc/passwd": "", "index.html": page}
    write_models(tmp_path / "served", {f"list/{name}": text for name, text in files.items()})
    copy = RemoteFolder(f"{web}/list/", tmp_path / "copies")
    copy.refresh()
    found = sorted(path.relative_to(copy.path).as_posix() for path in copy.path.rglob("*") if path.is_file())
    assert found == ["a b.half", "etc/passwd"]


def test_what_cannot_be_loaded_from_a_url_says_why(web: str, runtimes: Runtimes) -> None:
    with pytest.raises(RemoteFailed, match="cannot be copied"):
        mlbuffet.load(f"{web}/none.half", runtimes=runtimes)
    with pytest.raises(RemoteFailed, match="cannot be copied"):
        mlbuffet.load("http://127.0.0.1:1/a.half", runtimes=runtimes)
    with pytest.raises(RemoteFailed, match="Protocol not known: nosuch"):
        mlbuffet.load("nosuch://a/b.half", runtimes=runtimes)


def test_a_copy_follows_what_is_at_the_url(memory: fsspec.AbstractFileSystem, runtimes: Runtimes, cache: Path) -> None:
    memory.pipe("/place/m", b"half")
    with pytest.raises(NoRuntime):
        mlbuffet.load("memory://place/m", runtimes=runtimes)
    memory.rm("/place/m")
    memory.pipe("/place/m/1/x.half", b"half")
    assert answer("memory://place/m", runtimes) == [3]
    memory.pipe("/place/m/1/x.half", b"torn")
    with pytest.raises(LoadFailed):
        mlbuffet.load("memory://place/m", runtimes=runtimes)
    memory.rm("/place/m", recursive=True)
    memory.pipe("/place/m", b"half")
    with mlbuffet.load("memory://place/m", runtime="half", runtimes=runtimes) as model:
        assert model.path.is_file()
    assert {path.name for path in cache.rglob("*") if path.is_file()} == {"m", ".lock", ".manifest.json"}


def test_a_file_at_a_url_is_served(memory: fsspec.AbstractFileSystem, runtimes: Runtimes) -> None:
    memory.pipe("/place/iris.half", b"half")
    place = source_of("memory://place/iris.half")
    assert isinstance(place, RemoteFolder)
    [model] = Sources([place], runtimes).find()
    assert (model.name, model.versions[0].path) == ("iris", place.path)


def test_a_copy_is_not_changed_while_it_is_loaded(
    memory: fsspec.AbstractFileSystem, runtimes: Runtimes, tmp_path: Path
) -> None:
    memory.pipe("/place/a.half", b"half")
    one, two, three = (RemoteFolder("memory://place/a.half", tmp_path) for _ in range(3))
    with ThreadPoolExecutor() as threads:
        with one.held() as path:
            with two.held() as same:  # several may read it
                assert same == path
            memory.pipe("/place/a.half", b"torn")
            other = threads.submit(three.refresh)
            with pytest.raises(TimeoutError):
                other.result(0.3)
            assert path.read_text() == "half"
        other.result(10)
    assert path.read_text() == "torn"


def test_processes_share_one_copy(web: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nimport mlbuffet\n"
        "with mlbuffet.load(sys.argv[1]) as model:\n    print(model.predict({'x': [2]})['y'])\n"
    )
    environment = {**environment_with_runtimes(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, str(script), f"{web}/m/"]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in started:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "[3.]\n"), err


@pytest.mark.parametrize("form", ["file://{}", "file://localhost{}", "{}", "path"])
def test_files_of_this_machine_are_loaded_where_they_are(tmp_path: Path, runtimes: Runtimes, form: str) -> None:
    path = tmp_path / "with space.half"
    path.write_text("half")
    given = form.format(quote(str(path)) if "file" in form else path) if form != "path" else path
    with mlbuffet.load(given, runtimes=runtimes) as model:
        assert model.path == path
    assert source_of(str(given)) == path


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        (b"half", TypeError, "not bytes; write content that is in memory to a file with the suffix of its format"),
        (io.BytesIO(b"half"), TypeError, "its path or its URL as text, not BytesIO; write content"),
        (None, TypeError, "not NoneType"),
        (Path("https://host/a.half"), RemoteFailed, "'https:/host/a.half' cannot be copied: pathlib takes a slash"),
        (Path("s3://bucket/a"), RemoteFailed, "give it as text"),
        ("file://models/a.half", RemoteFailed, "it names another machine; a path has three slashes before it"),
        ("https:/host/a.half", ArtifactNotFound, "https:/host/a.half"),
        (Path("c:/a.half"), ArtifactNotFound, "c:/a.half"),
    ],
    ids=lambda one: "bytes in memory" if isinstance(one, io.BytesIO) else str(one),
)
def test_what_is_no_path_and_no_url_says_what_to_do(
    given: Any, kind: type[Exception], sentence: str, runtimes: Runtimes
) -> None:
    for ask in (mlbuffet.load, mlbuffet.which):
        with pytest.raises(kind, match=sentence):
            ask(given, runtimes=runtimes)


@pytest.mark.parametrize(
    ("missing", "url", "reason"),
    [("fsspec", "https://h/a.half", "No module named 'fsspec"), ("s3fs", "s3://b/a.half", "Install s3fs")],
)
def test_what_is_not_installed_is_named_with_how_to_install_it(missing: str, url: str, reason: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import mlbuffet; mlbuffet.load({url!r})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = ran.stderr.splitlines()[-1]
    assert f"'{url}' cannot be copied: {reason}" in last
    assert "pip install 'mlbuffet[remote]'" in last


def test_the_commands_take_urls(web: str, tmp_path: Path) -> None:
    environment = {**environment_with_runtimes(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    (tmp_path / "in.json").write_text('{"x": [2]}')

    def run(*arguments: object) -> str:
        command = [sys.executable, "-m", "mlbuffet", *map(str, arguments)]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert run("predict", f"{web}/a.half", "--inputs", tmp_path / "in.json") == '{"y":[3.0]}\n'
    assert json.loads(run("inspect", f"{web}/m/", "--json"))["runtime"] == "half"
    assert json.loads(run("verify", f"{web}/a.half", "--against", f"{web}/m/", "--json"))["agree"]

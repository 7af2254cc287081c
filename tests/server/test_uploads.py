"""Every upload that is not a model is refused and leaves nothing; every one that is becomes a whole version."""

import errno
import io
import os
import random
import shutil
import socket
import stat
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import httpx
import psutil
import pytest
from onnx import TensorProto, helper

import mlbuffet
from faults import post
from mlbuffet import Runtimes, UnknownRuntime
from mlbuffet.repository import Residency, find_models
from mlbuffet.repository.disk import Disk
from mlbuffet.server import ServerSettings
from pipelines import pipeline_runtimes
from uploading import RunApp, Uploading, leftovers, some_runtimes, uploading, visible, zipped
from waiting import wait_for

LIMIT = 2**20
HIDDEN = ("Traceback", "/tmp", "site-packages", "Error:", "mlbuffet.", ".mlbuffet", "a secret")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, run_app: RunApp) -> Iterator[Uploading]:
    """A server with the model ``good``, whose uploads are at most 1 MiB and may hang for three seconds."""
    folder = tmp_path_factory.mktemp("uploads")
    (folder / "outside").write_text("unchanged")
    with uploading(folder / "models", run_app, ServerSettings(allow_changes=True, max_upload=LIMIT), patience=3) as one:
        assert one.push("good").status_code == 201
        yield one


@pytest.fixture
def served(server: Uploading) -> Iterator[Uploading]:
    """That server, in which nothing but ``good`` is found afterwards."""
    yield server
    assert server.predicts("good")
    assert visible(server.root.parent) == ["models/good/1/model.half", "outside"]
    assert server.client.get("/api/v1/models").json()["model_list"] == ["good"]
    wait_for(lambda: leftovers(server.root) == [])


def entry(name: str, **attributes: object) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.filename = info.orig_filename = name  # ZipInfo itself mends some names
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


def named(name: str) -> bytes:
    """A zip with a model, and something of that name."""
    return zipped({"model.half": b"half", entry(name): b"half"})


def patched(archive: bytes, old: bytes, new: bytes) -> bytes:
    assert old in archive
    return archive.replace(old, new)


def encrypted() -> bytes:
    archive = bytearray(zipped({"model.half": b"half"}))
    archive[6] |= 1  # the flag in the local header, then in the directory
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    return bytes(archive)


def lying(claimed: int) -> bytes:
    """A zip whose only file is told to have ``claimed`` bytes, and has 4."""
    archive = bytearray(zipped({"model.half": b"half"}))
    for offset in (22, archive.index(b"PK\x01\x02") + 24):
        archive[offset : offset + 4] = claimed.to_bytes(4, "little")
    return bytes(archive)


def many(count: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number}", b"")
    return buffer.getvalue()


def nested(content: bytes, depth: int) -> bytes:
    """A model, and ``content`` in as many zip files, each with more than the next."""
    for _ in range(depth):
        content = zipped({"model.half": b"half", "deeper.zip": content})
    return content


MORE = bytes(LIMIT + 1)
REFUSED = {
    "empty": ("x.half", b"", 422, "empty"),
    "corrupt": ("x.half", b"corrupt", 422, "the model cannot be loaded: the runtime refused it"),
    "random": ("x.bin", random.Random(1).randbytes(4096), 422, "no installed runtime accepts"),
    "without a suffix": ("half", b"half", 422, "no installed runtime accepts"),
    "a suffix that is none": ("x.ha lf", b"half", 422, "no installed runtime accepts"),
    "crashes": ("x.danger", b"crash", 422, "the process in which it was tried crashed"),
    "exits": ("x.danger", b"exit", 422, "ended before it was loaded"),
    "hangs": ("x.danger", b"hang", 422, "did not end within 3 seconds"),
    "refuses": ("x.danger", b"refuse", 422, "the model cannot be loaded: it does not want to"),
    "refuses in the server": ("x.danger", b"refuse in the server", 422, "it does not want to"),
    "too large": ("x.half", bytes(LIMIT + 1), 413, "larger than"),
    "no zip": ("x.zip", b"half", 422, "damaged"),
    "a zip that is cut": ("x.zip", zipped({"model.half": b"half" * 999})[:-30], 422, "damaged"),
    "a zip without a model": ("x.zip", zipped({"a.txt": b"a"}), 422, "no installed runtime accepts"),
    "an empty zip": ("x.zip", zipped({}), 422, "no installed runtime accepts"),
    "a wrong sum": ("x.zip", patched(zipped({entry("model.half"): b"half"}), b"half", b"halt"), 422, "damaged"),
    "dots": ("x.zip", named("../outside"), 422, "'..'"),
    "dots within": ("x.zip", named("a/../../../outside"), 422, "'..'"),
    "a dot": ("x.zip", named("./a"), 422, "'.'"),
    "absolute": ("x.zip", named("/outside"), 422, "absolute"),
    "a drive": ("x.zip", named("C:\\outside"), 422, "backslash"),
    "a backslash": ("x.zip", named("..\\outside"), 422, "backslash"),
    "two slashes": ("x.zip", named("a//b"), 422, "slashes"),
    "NUL": ("x.zip", patched(named("a.half_txt"), b"a.half_txt", b"a.half\x00txt"), 422, "control character"),
    "a control character": ("x.zip", named("a\nb"), 422, "control character"),
    "hidden": ("x.zip", named(".upload.json"), 422, "begins with a dot"),
    "hidden within": ("x.zip", named("a/.b/c"), 422, "begins with a dot"),
    "a long name": ("x.zip", named("a" * 256), 422, "longer than"),
    "repeated": ("x.zip", patched(named("other.half"), b"other.half", b"model.half"), 422, "twice"),
    "repeated in capitals": ("x.zip", named("MODEL.half"), 422, "twice"),
    "repeated as ß": ("x.zip", zipped({"straße": b"a", "STRASSE": b"b"}), 422, "twice"),
    "a file that is a folder": ("x.zip", named("model.half/a"), 422, "twice"),
    "a folder that is a file": ("x.zip", zipped({"a/b": b"", "a": b""}), 422, "twice"),
    "depth 50": ("x.zip", named("a/" * 50 + "b"), 422, "deeper than"),
    "10 001 files": ("x.zip", many(10_001), 422, "10001 entries"),
    "a symlink": (
        "x.zip",
        zipped({entry("model.half", external_attr=(stat.S_IFLNK | 0o777) << 16): b"/etc/passwd"}),
        422,
        "a link",
    ),
    "a device": (
        "x.zip",
        zipped({entry("model.half", external_attr=(stat.S_IFCHR | 0o666) << 16): b""}),
        422,
        "other than a file",
    ),
    "encrypted": ("x.zip", encrypted(), 422, "encrypted"),
    "a size that is too small": ("x.zip", lying(1), 422, "damaged"),
    "a size that is too large": ("x.zip", lying(1000), 422, ""),
    "a size of 4 GiB": ("x.zip", lying(2**32 - 2), 413, "larger than"),
    "more than may be uploaded": ("x.zip", zipped({"model.half": bytes(LIMIT + 1)}), 413, "larger than"),
    "a zip in a zip": ("x.zip", nested(zipped({"model.half": MORE}), 1), 413, "larger than"),
    "a zip in a zip in a zip": ("x.zip", nested(zipped({"model.half": MORE}), 2), 413, "larger than"),
    "a file of Keras in zips": (
        "x.zip",
        zipped({"a.zip": zipped({"model.keras": zipped({"config.json": MORE})})}),
        413,
        "larger than",
    ),
    "a file that is a zip": ("x.half", b"half" + zipped({"config.json": MORE}), 413, "larger than"),
    "several zips in a zip": (
        "x.zip",
        zipped({"model.half": b"half", **{f"{number}.zip": zipped({"a": MORE[: LIMIT // 2]}) for number in range(3)}}),
        413,
        "larger than",
    ),
    "a zip behind one that is broken": (
        "x.zip",
        zipped({"model.half": b"half", "a.zip": encrypted(), "b.zip": nested(zipped({"model.half": MORE}), 1)}),
        413,
        "larger than",
    ),
    "a zip behind a broken entry": (
        "x.zip",
        zipped({"a.zip": encrypted() + zipped({"b.zip": b"PK\3\4", "c.zip": zipped({"model.half": MORE})})}),
        413,
        "larger than",
    ),
    "zips that have no end": ("x.zip", nested(zipped({"model.half": b"half"}), 10), 422, "more than 8 zip files"),
    "a drive without a slash": ("x.zip", named("C:x"), 422, "colon"),
    "a stream": ("x.zip", named("a:b"), 422, "colon"),
    "a name that ends with a dot": ("x.zip", named("a."), 422, "ends with a dot"),
    "a device of Windows": ("x.zip", named("nul.txt"), 422, "means a device"),
    "accents": ("x.zip", zipped({"\u00e9": b"a", "e\u0301": b"b"}), 422, "twice"),
    "a name that is no text": ("x.zip", patched(named("aaaa\u00e9"), "\u00e9".encode(), b"\xff\xff"), 422, ""),
    "another compression": ("x.zip", zipped({"model.half": b"half"}, zipfile.ZIP_LZMA), 422, "deflate"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_upload_that_is_no_model_is_refused_and_leaves_nothing(served: Uploading, case: str) -> None:
    name, content, status, message = REFUSED[case]
    for tag in ("new", "good"):
        answer = served.push(tag, (name, content))
        error = answer.json()["error"]
        assert answer.status_code == answer.json()["http_status"]["code"] == status, error
        assert message in error
        assert not [word for word in HIDDEN if word in error]


def test_a_hundred_refusals_leave_memory_files_and_threads_as_they_were(served: Uploading) -> None:
    process = psutil.Process()
    quick = [(name, content) for name, content, _, _ in REFUSED.values() if not name.endswith((".danger", ".half"))]

    def refuse(times: int) -> None:
        for number in range(times):
            assert served.push("new", quick[number % len(quick)]).status_code in (413, 422)

    refuse(len(quick))
    before = (process.num_fds(), process.num_threads(), process.memory_info().rss)
    refuse(100)
    assert served.push("new", ("x.danger", b"crash")).status_code == 422
    after = (process.num_fds(), process.num_threads(), process.memory_info().rss)
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 2  # threads that read bodies come and go
    assert after[2] - before[2] < 32 * 2**20


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, run_app: RunApp) -> None:
    bomb = zipped({"model.half": bytes(50 * 2**20)})
    assert len(bomb) < 60_000
    with uploading(tmp_path / "models", run_app) as served:
        answer = served.push("bomb", ("x.zip", bomb))
        assert (answer.status_code, "grow more than" in answer.json()["error"]) == (422, True)
        assert visible(served.root) == []


class CountingDisk(Disk):
    """Knows how much was written."""

    written = 0

    def write(self, file: BinaryIO, data: bytes) -> None:
        self.written += len(data)
        super().write(file, data)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_bomb_in_archives_in_archives_is_refused_before_it_is_unpacked(
    tmp_path: Path, run_app: RunApp, depth: int
) -> None:
    bomb = nested(zipped({"model.half": bytes(50 * 2**20)}), depth)
    disk = CountingDisk()
    with uploading(tmp_path / "models", run_app, disk=disk) as served:
        answer = served.push("bomb", ("x.zip", bomb))
        assert (answer.status_code, "grow more than" in answer.json()["error"]) == (422, True)
        assert visible(served.root) == []
        wait_for(lambda: leftovers(served.root) == [])
    assert disk.written < 2**20


def test_an_upload_may_hold_archives_that_are_part_of_the_model(served: Uploading) -> None:
    files = {"model.half": b"half", "words.zip": zipped({"words.txt": bytes(1000)}), "secret.zip": encrypted()}
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        packed = zipped({"words.zip": zipped({})}, method)
        files[f"{method}.zip"] = packed
        files[f"broken-{method}.zip"] = packed[:40] + b"broken" + packed[46:]
    assert served.push("words", ("x.zip", zipped(files))).status_code == 201
    with zipfile.ZipFile(io.BytesIO(served.client.get("/api/v1/models/words/download").content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files
    assert served.client.delete("/api/v1/models/words").status_code == 200


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-type": "application/json"}, b"{}", 415),
        ({}, b"half", 415),
        ({"content-type": "multipart/form-data"}, b"half", 400),
        ({"content-type": "multipart/form-data; boundary=b"}, b"half", 400),
        ({"content-type": "multipart/form-data; boundary=b"}, b"", 400),
        ({"content-type": "multipart/form-data; boundary=b"}, b"--b--\r\n", 400),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="path"; filename="x.half"\r\n\r\nhalf',
            400,
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="path"\r\n\r\nhalf\r\n--b--\r\n',
            400,
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="x"; filename="x.half"\r\n\r\nhalf\r\n--b--\r\n',
            400,
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="path"; filename="x.half"\r\n\r\nhalf\r\n' * 2 + b"--b--\r\n",
            400,
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="runtime"\r\n\r\n' + bytes(2**17) + b"\r\n--b--\r\n",
            400,
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b"".join(b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\na\r\n' % number for number in range(20))
            + b"--b--\r\n",
            422,
        ),
        ({"content-type": "multipart/form-data; boundary=b"}, b"--b\r\n" + b"a: b\r\n" * 99 + b"\r\n--b--\r\n", 400),
        ({"content-encoding": "gzip", "content-type": "multipart/form-data; boundary=b"}, b"", 415),
    ],
)
def test_a_form_that_is_none_is_refused(served: Uploading, headers: dict[str, str], body: bytes, status: int) -> None:
    answer = served.client.post("/api/v1/models/new", headers=headers, content=body)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("query", "headers", "size", "status"),
    [
        ("", {}, 4, 400),
        ("?filename=", {}, 4, 400),
        ("?filename=x.half", {"content-encoding": "gzip"}, 4, 415),
        ("?filename=x.half", {}, LIMIT + 1, 413),
    ],
)
def test_a_body_that_is_no_file_is_refused(
    served: Uploading, query: str, headers: dict[str, str], size: int, status: int
) -> None:
    address = f"/api/v1/models/new{query}"
    assert served.client.put(address, headers=headers, content=bytes(size)).status_code == status
    chunks = iter([bytes(size)])
    assert served.client.put(address, headers=headers, content=chunks).status_code == status


def test_an_upload_that_is_announced_as_too_large_is_refused_before_it_is_sent(served: Uploading) -> None:
    url = served.client.base_url
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        connection.sendall(post("/api/v1/models/new?filename=x.half", b"", {"Content-Length": 10**9}, "PUT"))
        assert b" 413 " in connection.recv(100)


def test_a_body_that_stops_arriving_is_given_up(tmp_path: Path, run_app: RunApp) -> None:
    settings = ServerSettings(allow_changes=True, body_idle_seconds=0.2)
    with uploading(tmp_path / "models", run_app, settings) as served:
        url = served.client.base_url
        with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
            connection.sendall(post("/api/v1/models/new?filename=x.half", b"ha", {"Content-Length": 4}, "PUT"))
            assert b" 408 " in connection.recv(100)
        assert visible(served.root) == []
        wait_for(lambda: leftovers(served.root) == [])


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"leave", 201), (b"leave crash", 422), (b"leave exit", 422), (b"leave hang", 422), (b"leave refuse", 422)],
)
def test_what_a_runtime_leaves_in_temporary_files_goes_with_the_process_that_tried_it(
    tmp_path: Path, run_app: RunApp, temporary: Path, content: bytes, status: int
) -> None:
    residency = Residency(lazy=True)  # the server itself loads nothing
    with uploading(tmp_path / "models", run_app, residency=residency, patience=2) as served:
        assert served.push("new", ("x.danger", content)).status_code == status
        assert list(temporary.iterdir()) == []


def test_what_a_runtime_starts_ends_with_the_process_that_tried_it(
    tmp_path: Path, run_app: RunApp, temporary: Path
) -> None:
    with uploading(tmp_path / "models", run_app, residency=Residency(lazy=True)) as served:
        assert served.push("new", ("x.danger", b"start")).status_code == 201
        wait_for(lambda: list(temporary.iterdir()) == [])
        assert not [one for one in psutil.process_iter(["cmdline"]) if "mkstemp" in str(one.info["cmdline"])]


class SmallDisk(Disk):
    """Has room for 1 MiB."""

    room = 2**20

    def write(self, file: BinaryIO, data: bytes) -> None:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(file, data)


@pytest.mark.parametrize("name", ["x.half", "x.zip"])
def test_a_full_disk_is_507_and_leaves_nothing(tmp_path: Path, run_app: RunApp, name: str) -> None:
    content = zipped({"model.half": b"half", "a": bytes(2**21)}) if name == "x.zip" else bytes(2**21)
    with uploading(tmp_path / "models", run_app, disk=SmallDisk()) as served:
        assert served.push("good").status_code == 201
        for tag in ("good", "new"):
            answer = served.push(tag, (name, content))
            assert answer.status_code == answer.json()["http_status"]["code"] == 507
            assert "no space left on device" in answer.json()["error"]
        assert visible(served.root) == ["good/1/model.half"]
        assert leftovers(served.root) == []
        assert served.predicts("good")


@pytest.mark.parametrize("percent", [0, 1, 50, 99])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_client_that_goes_away_leaves_nothing(
    tmp_path: Path, run_app: RunApp, caplog: pytest.LogCaptureFixture, percent: int, method: str
) -> None:
    body = bytes(4 * 2**20)
    headers = {}
    if method == "POST":  # a form
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        start = b'--b\r\nContent-Disposition: form-data; name="path"; filename="x.half"\r\n\r\n'
        body = start + body + b"\r\n--b--\r\n"
    request = post("/api/v1/models/new?filename=x.half", body, headers, method)
    head = len(request) - len(body)
    with uploading(tmp_path / "models", run_app) as served:
        url = served.client.base_url
        with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
            connection.sendall(request[: head + len(body) * percent // 100])
            wait_for(lambda: len(leftovers(served.root)) == 1)
        wait_for(lambda: leftovers(served.root) == [])
        assert visible(served.root) == []
        assert served.push("new").status_code == 201
    assert not caplog.records


def test_50_uploads_at_once_are_50_whole_versions(tmp_path: Path, run_app: RunApp) -> None:
    with uploading(tmp_path / "models", run_app) as served, ThreadPoolExecutor(50) as pool:
        limits = httpx.Limits(max_connections=None)
        with httpx.Client(base_url=served.client.base_url, limits=limits, timeout=120) as client:

            def push(number: int) -> int:
                files = {"path": ("x.half", b"half")}
                answer = client.post("/api/v1/models/m", files=files, data={"model_description": f"number {number}"})
                assert answer.status_code == 201, answer.text
                return int(answer.json()["version"])

            numbers = list(pool.map(push, range(50)))
        assert sorted(numbers) == list(range(1, 51))
        told = {int(number): information["description"] for number, information in served.versions("m").items()}
        assert told == {number: f"number {index}" for index, number in enumerate(numbers)}
        assert served.default("m") == 50
        assert {version.state.value for version in served.repository.versions("m")} == {"READY"}
        wait_for(lambda: leftovers(served.root) == [])


def test_a_version_that_is_removed_twice_at_once_is_removed_once(served: Uploading) -> None:
    for _ in range(5):
        served.push("twice")
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(lambda _: served.client.delete("/api/v1/models/twice:default").status_code, range(4))
            assert sorted(answers) == [200, 404, 404, 404]


def test_a_download_is_whole_though_the_version_is_removed_meanwhile(tmp_path: Path, run_app: RunApp) -> None:
    content = os.urandom(4 * 2**20)
    files = {"model.half": b"half", **{f"assets/{number}": content for number in range(8)}}
    with uploading(tmp_path / "models", run_app) as served:
        for _ in range(2):
            assert served.push("m", ("m.zip", zipped(files, zipfile.ZIP_STORED))).status_code == 201
            with served.client.stream("GET", "/api/v1/models/m/download") as answer:
                assert answer.status_code == 200
                pieces = answer.iter_raw(2**16)
                archive = next(pieces)
                assert served.client.delete("/api/v1/models/m").status_code == 200
                assert served.client.get("/api/v1/models/m/download").status_code == 404
                archive += b"".join(pieces)
            with zipfile.ZipFile(io.BytesIO(archive)) as opened:
                assert {name: opened.read(name) for name in opened.namelist()} == files
            wait_for(lambda: leftovers(served.root) == [])


def test_downloads_and_removals_at_once_give_whole_answers_or_404(served: Uploading) -> None:
    files = {"model.half": b"half", **{f"assets/{number}": os.urandom(10_000) for number in range(20)}}
    statuses: set[int] = set()
    stop = threading.Event()

    def download() -> None:
        with httpx.Client(base_url=served.client.base_url, timeout=30) as client:
            while not stop.is_set():
                answer = client.get("/api/v1/models/m/download")
                statuses.add(answer.status_code)
                if answer.status_code == 200:
                    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                        assert {name: archive.read(name) for name in archive.namelist()} == files

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(download) for _ in range(4)]
        for _ in range(8):
            assert served.push("m", ("m.zip", zipped(files))).status_code == 201
            assert served.client.delete("/api/v1/models/m").status_code == 200
        stop.set()
        for reader in readers:
            reader.result()
    assert statuses == {200, 404}


def test_a_client_that_leaves_a_download_gives_its_files_back(tmp_path: Path, run_app: RunApp) -> None:
    files = {"model.half": b"half", "big": os.urandom(32 * 2**20)}
    with uploading(tmp_path / "models", run_app) as served:
        served.push("m", ("m.zip", zipped(files, zipfile.ZIP_STORED)))
        with served.client.stream("GET", "/api/v1/models/m/download") as answer:
            next(answer.iter_raw(2**16))
        assert served.client.delete("/api/v1/models/m").status_code == 200
        wait_for(lambda: leftovers(served.root) == [])


def test_external_data_outside_the_upload_is_refused(tmp_path: Path, run_app: RunApp) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "../../../secret", "offset": "0", "length": "16"}.items():
        weights.external_data.add(key=key, value=value)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    runtimes = Runtimes()
    runtimes.discover()
    with uploading(tmp_path / "models", run_app, runtimes=runtimes) as served:
        for file in (("m.onnx", model), ("m.zip", zipped({"a.onnx": model}))):
            answer = served.push("m", file)
            assert answer.status_code == 422
            assert "lies outside of its folder" in answer.json()["error"]
            assert "secret" not in answer.text
        assert visible(served.root) == []


def test_a_model_toml_in_an_upload_is_read_by_nobody(
    tmp_path: Path, run_app: RunApp, caplog: pytest.LogCaptureFixture
) -> None:
    says = b'runtime = "lost"'  # nothing could be loaded with it
    with uploading(tmp_path / "models", run_app, ServerSettings(allow_changes=True)) as one:
        sent = zipped({"model.half": b"half", "model.toml": says, "deep/model.toml": says, "deep/er/model.toml": says})
        assert one.push("sent", ("x.zip", sent)).status_code == 201
        assert one.predicts("sent")
    version = tmp_path / "models" / "sent" / "1"
    assert list(version.rglob("model.toml")) == []
    (version / "model.toml").write_bytes(says)  # as versions have it that were uploaded before
    (tmp_path / "link").symlink_to(version)
    shutil.copytree(version, tmp_path / "copied" / "flat")
    for folder in (version, version.parent, tmp_path / "copied" / "flat", tmp_path / "link"):
        with mlbuffet.load(folder, runtimes=some_runtimes()) as model:
            assert model.runtime.name == "half"
    for served in (version, tmp_path / "copied"):
        (found,) = find_models(served, some_runtimes())
        assert found.error is None
        assert found.configuration.runtime is None
    assert "model.toml': it came with an upload" in caplog.text
    (version.parent / "model.toml").write_bytes(says)
    with pytest.raises(UnknownRuntime):
        mlbuffet.load(version.parent, runtimes=some_runtimes())


def test_a_model_that_calls_another_is_uploaded(tmp_path: Path, run_app: RunApp) -> None:
    with uploading(tmp_path / "models", run_app, runtimes=pipeline_runtimes()) as served:
        assert served.push("half").status_code == 201
        assert served.push("pipe", ("x.pipe", b"half")).status_code == 201
        assert served.predicts("pipe")
        refused = served.push("half", ("x.pipe", b"pipe"))
        assert (refused.status_code, "in a circle: half -> pipe -> half" in refused.text) == (422, True)
        assert served.predicts("pipe")

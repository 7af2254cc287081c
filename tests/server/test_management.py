"""MLBuffet's own API: models come, are chosen and go over HTTP, and every status is true."""

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from mlbuffet.repository import Residency
from mlbuffet.server import ServerSettings
from uploading import HALF, RunApp, Uploading, leftovers, uploading, visible, zipped


@pytest.fixture
def served(tmp_path: Path, run_app: RunApp) -> Iterator[Uploading]:
    with uploading(tmp_path / "models", run_app) as served:
        yield served


@pytest.mark.parametrize("address", ["/", "/api/test", "/api/v1/models"])
def test_the_status_is_in_the_body_too(served: Uploading, address: str) -> None:
    answer = served.client.get(address)
    assert answer.status_code == 200
    assert (answer.json()["http_status"]["code"], answer.json()["http_status"]["name"]) == (200, "OK")


def test_the_root_says_that_the_server_is_alive_as_the_client_of_kserve_asks_it(served: Uploading) -> None:
    assert served.client.get("/").json()["status"].lower() == "alive"


def test_help_is_text_that_lists_every_route(served: Uploading) -> None:
    answer = served.client.get("/help")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "DELETE /api/v1/models/{tag} " in answer.text
    assert "POST   /api/v1/models/{tag}/prediction " in answer.text


def test_a_model_is_uploaded_asked_and_removed(served: Uploading) -> None:
    answer = served.push("iris", model_description="Kinds of iris", library_version="1.5")
    assert (answer.status_code, answer.json()["http_status"]["code"], answer.json()["version"]) == (201, 201, 1)
    assert served.predicts("iris")
    assert served.client.get("/api/v1/models").json()["model_list"] == ["iris"]
    ((number, information),) = served.versions("iris").items()
    assert number == "1"
    assert information["path"] == "iris/1/model.half"
    assert information["file"] == "iris.half"
    assert (information["description"], information["library_version"]) == ("Kinds of iris", "1.5")
    assert information["ml_library"] == "half"
    assert information["time"].endswith("+00:00")
    assert served.client.delete("/api/v1/models/iris").status_code == 200
    assert served.client.delete("/api/v1/models/iris").status_code == 404
    assert served.client.get("/api/v1/models/iris/information").status_code == 404
    assert visible(served.root) == []


def test_the_body_itself_can_be_the_file(served: Uploading) -> None:
    answer = served.client.put("/api/v1/models/iris", params={"filename": "../../x.half"}, content=b"half")
    assert answer.status_code == 201
    assert visible(served.root) == ["iris/1/model.half"]
    assert served.versions("iris")["1"]["file"] == "x.half"


@pytest.mark.parametrize("folder", ["", "mine/"])
def test_a_zip_of_a_folder_is_unpacked_and_comes_back_as_one(served: Uploading, folder: str) -> None:
    files = {"assets/words.txt": b"a\nb", "model.half": b"half"}
    in_folder = {f"{folder}{name}": content for name, content in files.items()}
    assert served.push("iris", ("iris.zip", zipped({**in_folder, f"{folder}empty/": b""}))).status_code == 201
    assert served.predicts("iris")
    answer = served.client.get("/api/v1/models/iris/download")
    assert answer.headers["content-disposition"] == 'attachment; filename="iris-1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files


@pytest.mark.parametrize("address", ["", ":default", ":1", "/download", ":default/download", ":1/download"])
def test_the_only_file_of_a_version_comes_back_as_it_was(served: Uploading, address: str) -> None:
    served.push("iris")
    answer = served.client.get(f"/api/v1/models/iris{address}")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"half", "4")
    assert answer.headers["content-disposition"] == 'attachment; filename="iris-1.half"'
    assert served.client.head(f"/api/v1/models/iris{address}").status_code == 200


def test_a_new_version_becomes_the_default_and_an_older_one_can_be_chosen(served: Uploading) -> None:
    for _ in range(3):
        served.push("iris")
    assert served.default("iris") == 3
    answer = served.client.post("/api/v1/models/iris/default", json={"default": 1})
    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    assert served.default("iris") == 1
    infer = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    assert served.client.post("/v2/models/iris/infer", json=infer).json()["model_version"] == "1"
    assert served.client.post("/v1/models/iris:predict", json={"instances": [1]}).json() == {"predictions": [2.5]}
    assert served.push("iris").json()["version"] == 4
    assert served.default("iris") == 4


def test_without_its_default_the_latest_answers(served: Uploading) -> None:
    for _ in range(3):
        served.push("iris")
    served.client.post("/api/v1/models/iris/default", json={"default": 1})
    assert served.client.delete("/api/v1/models/iris:default").json()["version"] == 1
    assert served.default("iris") == 3
    assert served.client.delete("/api/v1/models/iris:2").status_code == 200
    assert served.client.delete("/api/v1/models/iris").json()["version"] == 3
    assert served.client.get("/api/v1/models").json()["model_list"] == []
    assert served.push("iris").json()["version"] == 4  # a number is not given twice


def test_what_was_chosen_is_still_chosen_by_the_next_server(served: Uploading, run_app: RunApp) -> None:
    for _ in range(2):
        served.push("iris")
    served.client.post("/api/v1/models/iris/default", json={"default": 1})
    with uploading(served.root, run_app) as other:
        assert other.default("iris") == 1
        assert set(other.versions("iris")) == {"1", "2"}


@pytest.mark.parametrize("versions", ['"latest"', "{latest = 1}"])
def test_a_version_that_is_not_served_is_loaded_when_it_is_chosen(served: Uploading, versions: str) -> None:
    (served.root / "iris").mkdir()
    (served.root / "iris/model.toml").write_text(f"versions = {versions}")
    for _ in range(3):
        served.push("iris")
    assert [one.version for one in served.repository.versions("iris")] == [3]
    assert set(served.versions("iris")) == {"1", "2", "3"}
    assert served.client.post("/api/v1/models/iris/default", json={"default": 1}).status_code == 200
    assert served.default("iris") == 1
    assert served.predicts("iris")
    assert [one.version for one in served.repository.versions("iris")] == [1, 3]
    assert served.client.get("/api/v1/models/iris:2/download").content == b"half"


def test_a_version_that_model_toml_would_not_serve_is_refused(served: Uploading) -> None:
    served.push("iris")
    (served.root / "iris/model.toml").write_text("versions = [1]")
    answer = served.push("iris")
    assert answer.status_code == 409
    assert "does not serve new versions" in answer.json()["error"]
    assert visible(served.root) == ["iris/1/model.half", "iris/model.toml"]


@pytest.mark.parametrize(
    ("layout", "status"), [("iris/1/x.half", 201), ("iris.half", 201), ("iris/x.half", 409), ("iris/007/x.half", 201)]
)
def test_versions_are_added_to_models_that_people_put_there(
    tmp_path: Path, run_app: RunApp, layout: str, status: int
) -> None:
    path = tmp_path / "models" / layout
    path.parent.mkdir(parents=True)
    path.write_text("half")
    with uploading(tmp_path / "models", run_app) as served:
        assert served.push("iris").status_code == status
        assert served.predicts("iris")
        before = len(served.versions("iris"))
        assert served.client.delete("/api/v1/models/iris").status_code == 200
        assert len(served.versions("iris")) == before - 1


def test_a_model_that_is_loaded_when_it_is_used_is_uploaded_without_being_loaded(
    tmp_path: Path, run_app: RunApp
) -> None:
    with uploading(tmp_path / "models", run_app, residency=Residency(lazy=True)) as served:
        for _ in range(2):
            assert served.push("iris").status_code == 201
        assert {one.state.value for one in served.repository.versions("iris")} == {"UNAVAILABLE"}
        assert served.client.post("/api/v1/models/iris/default", json={"default": 1}).status_code == 200
        assert served.predicts("iris")
        assert [one.state.value for one in served.repository.versions("iris")] == ["READY", "UNAVAILABLE"]


@pytest.mark.parametrize("version", ["-1", "1.0", "01", "1_0", "", "latest", "1:1"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_is_no_version_is_refused(served: Uploading, method: str, version: str) -> None:
    served.push("iris")
    answer = served.client.request(method, f"/api/v1/models/iris:{version}")
    assert answer.status_code == 400
    assert answer.json()["http_status"] == {"code": 400, "name": "Bad Request", "description": answer.json()["error"]}


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "a%2fb", "a%00b", "a%0d%0ab", "a" * 129, "12", ".a", "a%20b", "%C3%A4"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_what_is_no_name_leads_nowhere(served: Uploading, method: str, name: str) -> None:
    answer = served.client.request(method, f"/api/v1/models/{name}?filename=x.half", content=b"half")
    assert answer.status_code in (400, 404, 405, 415)
    assert visible(served.root) == []


def test_unknown_models_and_versions_are_404(served: Uploading) -> None:
    served.push("iris")
    for address in ("lost", "lost:1", "iris:2"):
        assert served.client.get(f"/api/v1/models/{address}").status_code == 404
        assert served.client.delete(f"/api/v1/models/{address}").status_code == 404
        assert served.client.post(f"/api/v1/models/{address}/prediction", json={"values": 1}).status_code == 404
    for version in (0, 2, 2**63 - 1):
        assert served.client.post("/api/v1/models/iris/default", json={"default": version}).status_code == 404
    assert served.client.post("/api/v1/models/lost/default", json={"default": 1}).status_code == 404
    for body in ({}, {"default": "1"}, {"default": True}, {"default": -1}, {"default": 2**63}, {"default": 1, "x": 1}):
        assert served.client.post("/api/v1/models/iris/default", json=body).status_code == 400
    assert served.client.patch("/api/v1/models/iris").json()["http_status"]["code"] == 405


def test_a_server_without_a_folder_of_models_says_what_to_start_it_with(
    serve: Callable[..., AbstractContextManager[httpx.Client]], half: Path
) -> None:
    with serve(half, ServerSettings(allow_changes=True)) as client:
        answer = client.post("/api/v1/models/iris", files={"path": HALF})
        assert answer.status_code == 409
        assert "start it with a folder of models" in answer.json()["http_status"]["description"]
        assert client.get("/api/v1/models/half/download").content == b"half"


def test_nothing_is_left_in_the_folder_once_the_server_has_ended(tmp_path: Path, run_app: RunApp) -> None:
    with uploading(tmp_path / "models", run_app) as served:
        served.push("iris")
        served.push("iris")
        served.client.delete("/api/v1/models/iris:1")
        served.push("iris", ("x.half", b"corrupt"))
    assert leftovers(served.root) == []
    assert sorted(path.name for path in served.root.iterdir()) == ["iris"]
    assert sorted(path.name for path in (served.root / "iris").iterdir()) == ["2"]

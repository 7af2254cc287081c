"""An upload says which runtime and which options, as far as a client may; nothing that it says is ignored."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import mlbuffet
from mlbuffet import Runtimes
from mlbuffet.loading import load_from
from mlbuffet.runtime_choice import Preference
from runtimes_with_options import Scale, runtimes_with_options
from small_runtimes import write_models
from uploading import RunApp, Uploading, uploading, visible, zipped

FILE = ("x.scale", b"scale")


@pytest.fixture
def runtimes() -> Runtimes:
    runtimes = runtimes_with_options()
    runtimes.register(Scale, name="twin")  # takes what scale takes
    return runtimes


@pytest.fixture
def served(tmp_path: Path, run_app: RunApp, runtimes: Runtimes) -> Iterator[Uploading]:
    with uploading(tmp_path / "models", run_app, runtimes=runtimes) as server:
        yield server


def ten(server: Uploading, name: str = "m") -> Any:
    """What the model makes of 10."""
    return server.client.post(f"/api/v1/models/{name}/prediction", json={"values": [10]}).json()["values"]


def put(server: Uploading, **fields: str) -> httpx.Response:
    return server.client.put("/api/v1/models/m", params={"filename": FILE[0], **fields}, content=FILE[1])


def test_a_form_and_a_query_say_runtime_and_options(served: Uploading) -> None:
    assert served.push("m", FILE, runtime="scale", options='{"factor": 2}').status_code == 201
    assert ten(served) == [20]
    assert put(served, runtime="twin", options='{"factor": 3}').status_code == 201
    assert ten(served) == [30]
    versions = served.versions("m")
    assert [(one["ml_library"], one["options"]) for one in versions.values()] == [
        ("scale", {"factor": 2}),
        ("twin", {"factor": 3}),
    ]


def test_without_a_runtime_several_that_accept_it_are_refused(served: Uploading) -> None:
    answer = served.push("m", FILE)
    assert (answer.status_code, answer.json()["error"]) == (422, "several runtimes accept the model: scale, twin")


def test_a_restart_and_a_program_have_what_was_said(
    tmp_path: Path, run_app: RunApp, runtimes: Runtimes, served: Uploading
) -> None:
    packed = zipped({"folder/model.scale": b"", "folder/model.shift": b""})
    assert served.push("m", FILE, runtime="scale", options='{"factor": 2}').status_code == 201
    assert served.push("m", ("z.zip", packed), runtime="shift").status_code == 201
    assert served.client.post("/api/v1/models/m/default", json={"default": 1}).status_code == 200
    with uploading(served.root, run_app, runtimes=runtimes) as again:
        assert ten(again) == [20]
        assert [one["ml_library"] for one in again.versions("m").values()] == ["scale", "shift"]
    with mlbuffet.load(served.root / "m", runtimes=runtimes) as model:
        assert (model.runtime.name, model.predict({"x": [10.0]})["y"].tolist()) == ("scale", [20])
    with mlbuffet.load(served.root / "m", runtimes=runtimes, options={"factor": 5}) as model:
        assert model.predict({"x": [10.0]})["y"].tolist() == [50]
    with mlbuffet.load(served.root / "m", runtimes=runtimes, runtime="twin") as model:
        assert model.predict({"x": [10.0]})["y"].tolist() == [10]


def test_the_runtime_is_not_asked_whether_it_accepts_the_file(served: Uploading) -> None:
    assert served.push("m", ("x.bin", b"scale"), runtime="scale").status_code == 201
    assert ten(served) == [10]


REFUSED = {
    "an option of the owner": (
        {"runtime": "scale", "options": '{"library": "/tmp/evil.so"}'},
        "invalid options: an upload may not set 'library'; the valid options are: factor",
    ),
    "an option that is not there": (
        {"runtime": "scale", "options": '{"fcator": 2}'},
        "an upload may not set 'fcator'; the valid options are: factor",
    ),
    "an unknown runtime": ({"runtime": "lost"}, "the runtime 'lost' is not installed"),
    "a misspelt field": (
        {"option": "{}"},
        "no field 'option'; besides its file there are model_description, library_version, runtime, options",
    ),
    "options that are no object": (
        {"options": "[1]"},
        "the field 'options' of the upload is not an object in JSON, such as {\"intra_op_threads\": 1}",
    ),
    "options that are no JSON": ({"options": "factor=2"}, "is not an object in JSON"),
}


@pytest.mark.parametrize(("fields", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_heeded_is_refused(served: Uploading, fields: dict[str, str], message: str) -> None:
    for answer in (served.push("m", FILE, **fields), put(served, **fields)):
        assert (answer.status_code, message in answer.json()["error"]) == (422, True), answer.text
    assert visible(served.root) == []


def test_a_field_that_is_there_twice_is_refused(served: Uploading) -> None:
    query = "filename=x.scale&runtime=scale&runtime=twin"
    several: list[tuple[str, Any]] = [("path", FILE), ("runtime", (None, "scale")), ("runtime", (None, "twin"))]
    for answer in (
        served.client.put(f"/api/v1/models/m?{query}", content=b"scale"),
        served.client.put(f"/api/v1/models/m?{query}&filename=y.scale", content=b"scale"),
        served.client.post("/api/v1/models/m", files=several),
    ):
        assert (answer.status_code, "is there twice" in answer.json()["error"]) == (422, True), answer.text


def test_what_the_owner_says_is_not_contradicted(served: Uploading) -> None:
    (served.root / "m").mkdir()
    (served.root / "m" / "model.toml").write_text('runtime = "scale"\n[options]\nfactor = 4\n')
    answer = served.push("m", FILE, runtime="twin")
    assert "runs the model 'm' with 'scale', not with 'twin'" in answer.json()["error"]
    answer = served.push("m", FILE, options='{"factor": 5}')
    assert (answer.status_code, answer.json()["error"]) == (
        422,
        "this server sets 'factor' for the model 'm': leave it out",
    )
    assert served.push("m", FILE, runtime="scale", options='{"factor": 4}').status_code == 201
    assert ten(served) == [40]


def test_what_the_owner_prefers_decides_where_an_upload_names_no_runtime(
    tmp_path: Path, run_app: RunApp, runtimes: Runtimes
) -> None:
    with uploading(tmp_path / "models", run_app, runtimes=runtimes, wanted=["twin", "scale"]) as server:
        assert server.push("m", FILE, options='{"factor": 2}').status_code == 201
        assert server.push("m", FILE, runtime="scale", options='{"factor": 3}').status_code == 201
        versions = server.versions("m").values()
        assert [(one["ml_library"], one["options"]["factor"]) for one in versions] == [("twin", 2), ("scale", 3)]
        assert ten(server) == [30]
        with load_from(server.root / "m", runtimes, Preference(("twin",))) as model:
            assert (model.runtime.name, model.predict({"x": [10.0]})["y"].tolist()) == ("scale", [30])
        with mlbuffet.load(server.root / "m", runtimes=runtimes, runtime=["lost", "scale"]) as model:
            assert (model.runtime.name, model.predict({"x": [10.0]})["y"].tolist()) == ("scale", [30])
        with mlbuffet.load(server.root / "m", runtimes=runtimes, runtime=["twin", "scale"]) as model:
            assert (model.runtime.name, model.predict({"x": [10.0]})["y"].tolist()) == ("twin", [10])
        assert mlbuffet.which(server.root / "m", runtimes=runtimes).chosen == "scale"


def test_an_upload_names_the_runtime_that_a_list_of_the_owner_chooses(served: Uploading) -> None:
    (served.root / "m").mkdir()
    (served.root / "m" / "model.toml").write_text('runtime = ["lost", "twin", "scale"]\n')
    answer = served.push("m", FILE, runtime="scale")
    assert (answer.status_code, answer.json()["error"]) == (
        422,
        "this server runs the model 'm' with 'twin', not with 'scale'",
    )
    assert served.push("m", FILE, runtime="twin", options='{"factor": 4}').status_code == 201
    assert ten(served) == [40]


def test_defaults_of_a_runtime_hold_in_the_trial_and_go_after_what_a_client_says(
    tmp_path: Path, run_app: RunApp, runtimes: Runtimes
) -> None:
    runtimes["scale"].default_options = {"factor": 6, "library": "/usr/lib/operators.so"}
    with uploading(tmp_path / "models", run_app, runtimes=runtimes) as server:
        assert server.push("m", FILE, runtime="scale").status_code == 201
        assert ten(server) == [60]
        assert server.push("m", FILE, runtime="scale", options=json.dumps({"factor": 7})).status_code == 201
        assert ten(server) == [70]


def test_a_value_that_the_runtime_refuses_lists_what_a_client_may_give(served: Uploading) -> None:
    fields = {"runtime": "scale", "options": '{"factor": "a"}'}
    for answer in (served.push("m", FILE, **fields), put(served, **fields)):
        assert answer.status_code == 422
        assert answer.json()["error"].endswith("factor: expected float, got str; the valid options are: factor")


def test_options_that_a_client_may_no_longer_give_fail_the_version_alone(run_app: RunApp, served: Uploading) -> None:
    assert served.push("m", FILE, runtime="scale", options='{"factor": 2}').status_code == 201
    assert served.push("other", FILE, runtime="scale").status_code == 201
    strict = runtimes_with_options()
    strict["scale"].client_options = frozenset()
    with uploading(served.root, run_app, runtimes=strict) as again:
        answer = again.client.get("/v2/models/m")
        assert (answer.status_code, "an upload may not set 'factor'" in answer.text) == (503, True)
        assert ten(again, "other") == [10]


@pytest.mark.parametrize(
    ("runtime", "for_owners"),
    [
        ("onnx", {"providers", "custom_op_libraries"}),
        ("tensorflow", {"imports", "device", "gpu_memory_growth", "intra_op_threads"}),
    ],
)
def test_clients_cannot_set_what_reaches_files_devices_or_other_models(
    installed: Runtimes, runtime: str, for_owners: set[str]
) -> None:
    one = installed[runtime]
    assert one.client_options
    assert set(one.load_options or ()) == one.client_options | for_owners
    assert not one.client_options & for_owners


@pytest.mark.parametrize("again", [False, True])
def test_the_configuration_beside_a_file_is_the_owners_word_too(
    tmp_path: Path, run_app: RunApp, runtimes: Runtimes, *, again: bool
) -> None:
    root = tmp_path / "models"
    write_models(root, {"m.scale": "scale", "m.toml": 'runtime = "scale"\n[options]\nfactor = 5'})
    with uploading(root, run_app, runtimes=runtimes) as server:
        if again:  # its folder is there then, without a model.toml
            assert server.push("m", FILE).status_code == 201
        refused = server.push("m", FILE, options='{"factor": 2}')
        assert (refused.status_code, refused.json()["error"]) == (
            422,
            "this server sets 'factor' for the model 'm': leave it out",
        )
        refused = server.push("m", FILE, runtime="twin")
        assert (refused.status_code, "with 'scale', not with 'twin'" in refused.json()["error"]) == (422, True)
        assert server.push("m", FILE).status_code == 201
        assert ten(server) == [50]


@pytest.mark.parametrize("options", ['{"factor": 2, "factor": 3}', '{"factor": {"a": 1, "a": 2}}'])
def test_an_option_that_is_given_twice_is_refused(served: Uploading, options: str) -> None:
    refused = served.push("m", FILE, runtime="scale", options=options)
    assert (refused.status_code, "is given twice in one object" in refused.json()["error"]) == (422, True)
    assert "'options'" in refused.json()["error"]

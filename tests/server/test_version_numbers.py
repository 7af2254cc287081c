"""The smallest and the largest number of a version work in every protocol."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx
import pytest

from mlbuffet.version_numbers import LARGEST
from small_runtimes import write_models

INPUT = {"name": "x", "shape": [1], "datatype": "FP32", "data": [2]}


@pytest.fixture(scope="module")
def client(
    serve: Callable[..., AbstractContextManager[httpx.Client]], tmp_path_factory: pytest.TempPathFactory, way: str
) -> Iterator[httpx.Client]:
    models = {"m/0/x.half": "half", f"m/{LARGEST}/x.half": "half", "m/1/x.half": "half", "from1/1/x.half": "half"}
    toml = f"labels = {{smallest = 0, largest = {LARGEST}}}\n[cache]"
    with serve(write_models(tmp_path_factory.mktemp("models"), {**models, "m/model.toml": toml}), way=way) as client:
        yield client


@pytest.mark.parametrize("number", [0, 1, LARGEST])
def test_a_version_answers_in_every_protocol(client: httpx.Client, number: int) -> None:
    v2 = client.post(f"/v2/models/m/versions/{number}/infer", json={"inputs": [INPUT]})
    assert v2.json()["model_version"] == str(number)
    assert client.get(f"/v2/models/m/versions/{number}/stats").json()["model_stats"][0]["version"] == str(number)
    v1 = client.get(f"/v1/models/m/versions/{number}").json()["model_version_status"]
    assert [one["version"] for one in v1] == [str(number)]
    metadata = client.get(f"/v1/models/m/versions/{number}/metadata").json()
    assert metadata["model_spec"]["version"] == str(number)
    assert client.post(f"/api/v1/models/m:{number}/prediction", json={"values": [2]}).json()["values"] == [3]
    assert (
        f'mlbuffet_requests_total{{code="200",model="m",protocol="v2",version="{number}"}}'
        in client.get("/metrics").text
    )


@pytest.mark.parametrize(("label", "number"), [("smallest", 0), ("largest", LARGEST)])
def test_a_label_leads_to_it(client: httpx.Client, label: str, number: int) -> None:
    assert client.get(f"/v1/models/m/labels/{label}/metadata").json()["model_spec"]["version"] == str(number)


def test_version_0_is_the_default_for_tensorflow_servings_clients_where_there_is_none(client: httpx.Client) -> None:
    assert client.get("/v1/models/from1/versions/0/metadata").json()["model_spec"]["version"] == "1"
    assert client.get("/v2/models/from1/versions/0").status_code == 404
    assert client.get("/v1/models/nope/versions/0/metadata").status_code == 404


def test_a_larger_number_is_no_version(client: httpx.Client) -> None:
    assert client.get(f"/v2/models/m/versions/{2**63}").status_code == 400
    assert client.get(f"/v1/models/m/versions/{2**63}").json() == {
        "error": f"Failed to convert version: {2**63} to numeric."
    }
    assert client.get(f"/api/v1/models/m:{2**63}").status_code == 400


def test_requests_that_concern_no_version_are_counted_without_one(client: httpx.Client) -> None:
    client.get("/v2/models/nope")
    assert 'mlbuffet_requests_total{code="404",model="",protocol="v2",version=""}' in client.get("/metrics").text

"""/openapi.json says what the server does, and /docs shows it."""

import asyncio
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance, unsupported_method
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlbuffet import Runtimes
from mlbuffet.repository import ModelRepository
from mlbuffet.server import create_app
from mlbuffet.server.http.openapi import Protocol, describe
from mlbuffet.server.protocols.open_inference.requests import HEADER_LENGTH
from mlbuffet.server.protocols.tensorflow_serving.answers import ClassifyAnswer, RegressAnswer
from mlbuffet.server.protocols.tensorflow_serving.classify_regress import encode_classes, encode_regressions
from uploading import RunApp, uploading


@pytest.fixture(scope="module")
def way() -> str:
    """The description is that of a server with its own models."""
    return "fast path"


ROOT = Path(__file__).parents[2]
APP = create_app(ModelRepository(Runtimes()))


async def document() -> dict[str, Any]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(APP), base_url="http://mlbuffet") as client:
        return dict((await client.get("/openapi.json")).json())


RUN = settings(derandomize=True, database=None, deadline=None, max_examples=10, suppress_health_check=list(HealthCheck))
DOCUMENT = asyncio.run(document())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


def excluded(case: schemathesis.Case[Any]) -> list[Any]:
    """/v1 answers 400, as TensorFlow Serving does, to a method that an address does not have.

    Any bytes may be a raw buffer, also those that the schema of a JSON body refuses.
    """
    checks = [unsupported_method] if case.path.startswith("/v1/") else []
    if "{label}" in case.path:  # an unknown label is 400, as from TensorFlow Serving
        checks.append(positive_data_acceptance)
    return [*checks, negative_data_rejection] if HEADER_LENGTH in (case.headers or {}) else checks


@SCHEMA.parametrize()
@RUN
def test_the_server_answers_as_described(case: schemathesis.Case[Any], client: httpx.Client) -> None:
    case.call_and_validate(base_url=str(client.base_url), excluded_checks=excluded(case))


@SCHEMA.include(path_regex="{(model|name|tag)}").exclude(path_regex="unload$").parametrize()
@RUN
def test_a_server_that_has_the_model_answers_as_described(case: schemathesis.Case[Any], client: httpx.Client) -> None:
    name = next(name for name in ("model", "name", "tag") if name in case.path_parameters)
    case.path_parameters[name] = "half"
    case.call_and_validate(base_url=str(client.base_url), excluded_checks=[*excluded(case), positive_data_acceptance])


BUFFET = "/api/v1/models/{tag}"
CHOOSE = "/api/v1/models/{name}/default"
BUFFET_CHANGES = [(BUFFET, "post"), (BUFFET, "put"), (CHOOSE, "post"), (BUFFET, "delete")]
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]


@pytest.mark.parametrize(
    ("path", "method"),
    [one for one in OPERATIONS if not re.search("classify|regress|label", one[0]) and one not in BUFFET_CHANGES],
)
def test_the_example_of_an_operation_works(client: httpx.Client, path: str, method: str) -> None:
    content = DOCUMENT["paths"][path][method].get("requestBody", {}).get("content", {})
    address = path.format(model="half", name="half", tag="half", version="1")
    answer = client.request(method, address, json=content.get("application/json", {}).get("example"))
    if path.endswith("/unload"):
        client.post(address.replace("unload", "load"))
    assert answer.status_code == 200
    SCHEMA[path][method].validate_response(answer)


def test_changes_are_answered_as_described(tmp_path: Path, run_app: RunApp) -> None:
    with uploading(tmp_path / "models", run_app) as served:
        address = "/api/v1/models/iris"
        answers = {
            (BUFFET, "post"): served.push("iris"),
            (BUFFET, "put"): served.client.put(f"{address}?filename=x.half", content=b"half"),
            (CHOOSE, "post"): served.client.post(f"{address}/default", json={"default": 1}),
            (BUFFET, "delete"): served.client.delete(address),
        }
        assert list(answers) == BUFFET_CHANGES
        for (path, method), answer in answers.items():
            assert answer.is_success
            answer.request.read()
            SCHEMA[path][method].validate_response(answer)
        refused = served.push("iris", ("x.half", b"corrupt"))
        assert refused.status_code == 422
        refused.request.read()
        SCHEMA[BUFFET]["post"].validate_response(refused)


def test_raw_buffers_are_described(client: httpx.Client) -> None:
    path = "/v2/models/{model}/infer"
    headers = {HEADER_LENGTH: "0"}
    answer = client.post("/v2/models/half/infer", content=bytes(8), headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    SCHEMA[path]["post"].validate_response(answer)
    (length,) = [one for one in DOCUMENT["paths"][path]["post"]["parameters"] if one["in"] == "header"]
    assert length["name"] in headers


def test_classes_and_values_are_described() -> None:
    scores = np.array([[0.5, np.float32(1)]], np.float32)
    classes = msgspec.json.decode(encode_classes({"scores": scores}, 1), type=ClassifyAnswer)
    assert classes == {"results": [[["", 0.5], ["", 1.0]]]}
    values = msgspec.json.decode(encode_regressions({"outputs": scores[0, :1]}, 1), type=RegressAnswer)
    assert values == {"results": [0.5]}


def test_the_document_is_valid() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    SCHEMA.validate()


def test_every_route_is_described_or_only_refuses() -> None:
    routes = [route for route in APP.routes if isinstance(route, Route)]
    assert routes == APP.routes
    described = {(route.path, method.lower()) for route in routes for method in (route.methods or set()) - {"HEAD"}}
    refusals = {route.path for route in routes if not route.include_in_schema}
    assert all(path in ("/v1", "/v1/models", "/v1/{rest:path}") for path in refusals)
    assert sorted(OPERATIONS) == sorted(one for one in described if one[0] not in refusals)


def test_every_operation_has_a_summary_and_a_name_of_its_own() -> None:
    operations = [DOCUMENT["paths"][path][method] for path, method in OPERATIONS]
    assert all(operation["summary"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_a_route_that_nothing_describes_is_an_error() -> None:
    async def endpoint(request: Request) -> Response:
        raise NotImplementedError

    with pytest.raises(KeyError):
        describe([Protocol("new", [Route("/new", endpoint)], {}, {})], "1")


def test_the_page_fetches_nothing_from_elsewhere(client: httpx.Client) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert set(re.findall(r"""(?:src|href|action)=["']?([^"'\s>]+)""", answer.text)) == {"data:,", "openapi.json"}
    assert not re.search(r"//\w+\.\w|@import|url\(", answer.text)


def test_the_page_is_in_the_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "mlbuffet/server/http/docs.html" in zipfile.ZipFile(wheel).namelist()

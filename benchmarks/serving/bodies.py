"""Requests in the forms that servers take."""

import json
from dataclasses import dataclass, field

import numpy as np
import orjson

from artifacts import Array, Artifact

DATATYPES = {"float32": "FP32", "int64": "INT64"}


@dataclass(frozen=True, kw_only=True)
class Body:
    """One request: where it goes, and what it carries."""

    path: str
    content: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    grpc: bool = False
    """Whether it goes to the port of gRPC."""


def open_inference(artifact: Artifact) -> Body:
    """JSON of the Open Inference Protocol."""
    inputs = [{**_head(name, value), "data": value.ravel()} for name, value in artifact.inputs.items()]
    return Body(path=f"/v2/models/{artifact.name}/infer", content=_dumps({"inputs": inputs}))


def open_inference_binary(artifact: Artifact) -> Body:
    """Raw tensors of the Open Inference Protocol, both ways."""
    head = {
        "inputs": [
            {**_head(name, value), "parameters": {"binary_data_size": value.nbytes}}
            for name, value in artifact.inputs.items()
        ],
        "parameters": {"binary_data_output": True},
    }
    text = json.dumps(head).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}
    content = text + b"".join(value.tobytes() for value in artifact.inputs.values())
    return Body(path=f"/v2/models/{artifact.name}/infer", content=content, headers=headers)


def raw(artifact: Artifact) -> Body:
    """Nothing but the array's memory."""
    [value] = artifact.inputs.values()
    return Body(path="/raw", content=value.tobytes(), headers={"Content-Type": "application/octet-stream"})


def litserve(artifact: Artifact) -> Body:
    """LitServe's default address; the content is up to its user."""
    return Body(path="/predict", content=open_inference(artifact).content)


def mosec(artifact: Artifact) -> Body:
    """Mosec's default address; the content is up to its user."""
    return Body(path="/inference", content=open_inference(artifact).content)


def ray(artifact: Artifact) -> Body:
    """The route of the application; the content is up to its user."""
    return Body(path=f"/{artifact.name}", content=open_inference(artifact).content)


def bentoml(artifact: Artifact) -> Body:
    """The name of the argument, and nested lists."""
    [value] = artifact.inputs.values()
    return Body(path="/predict", content=_dumps({"x": value}))


def mlflow(artifact: Artifact) -> Body:
    """MLflow's ``inputs``: nested lists by name."""
    return Body(path="/invocations", content=_dumps({"inputs": artifact.inputs}))


def numbers_of(content: bytes, headers: dict[str, str]) -> Array:
    """All numbers of an answer in their order, whatever its form."""
    length = headers.get("inference-header-content-length")
    if length is None:
        return np.array(list(_numbers(orjson.loads(content))))
    head, found, begin = orjson.loads(content[: int(length)]), [], int(length)
    for output in head["outputs"]:
        size = output["parameters"]["binary_data_size"]
        dtype = {"FP32": "<f4", "INT64": "<i8"}[output["datatype"]]
        found.append(np.frombuffer(content[begin : begin + size], dtype).astype(float))
        begin += size
    return np.concatenate(found)


def _numbers(value: object) -> list[float]:
    match value:
        case bool() | str() | None:
            return []
        case int() | float():
            return [float(value)]
        case dict():
            return [number for one in value.values() for number in _numbers(one)]
        case list():
            return [number for one in value for number in _numbers(one)]
    raise TypeError(type(value))


def _head(name: str, value: Array) -> dict[str, object]:
    return {"name": name, "shape": value.shape, "datatype": DATATYPES[value.dtype.name]}


def _dumps(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)

"""The bare route: what a careful engineer writes by hand for ONNX models. It checks nothing.

Its arguments are names under which it is to have the model, each with a session of its own.
"""

import sys

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from session import NAME, PORT, open_session

sessions = {name: open_session() for name in sys.argv[1:] or [NAME]}
session = next(iter(sessions.values()))
[feed] = session.get_inputs()
fetches = [node.name for node in session.get_outputs()]
row = [size if isinstance(size, int) else -1 for size in feed.shape]
DATATYPES = {"float32": "FP32", "int64": "INT64"}


async def infer_json(request: Request) -> Response:
    """The Open Inference Protocol's JSON, without a look at what it claims."""
    tensor = orjson.loads(await request.body())["inputs"][0]
    array = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
    return run(request.path_params["model"], array)


async def infer_raw(request: Request) -> Response:
    """The floats as they lie in memory."""
    return run(NAME, np.frombuffer(await request.body(), np.float32).reshape(row))


def run(model: str, array: np.ndarray) -> Response:
    """The answer as the protocol has it."""
    outputs = [
        {"name": name, "datatype": DATATYPES[value.dtype.name], "shape": value.shape, "data": value.ravel().tolist()}
        for name, value in zip(fetches, sessions[model].run(fetches, {feed.name: array}), strict=True)
    ]
    body = orjson.dumps({"model_name": model, "model_version": "1", "outputs": outputs})
    return Response(body, media_type="application/json")


routes = [
    Route("/v2/models/{model}/infer", infer_json, methods=["POST"]),
    Route("/raw", infer_raw, methods=["POST"]),
]

app = Starlette(routes=routes)

if __name__ == "__main__":
    uvicorn.run(app, port=PORT, access_log=False, log_level="warning")

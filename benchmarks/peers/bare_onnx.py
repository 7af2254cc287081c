"""The bare route: what a careful engineer writes by hand for one ONNX model. It checks nothing."""

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from session import NAME, PORT, open_session

session = open_session()
[feed] = session.get_inputs()
fetches = [node.name for node in session.get_outputs()]
row = [size if isinstance(size, int) else -1 for size in feed.shape]
DATATYPES = {"float32": "FP32", "int64": "INT64"}


async def infer_json(request: Request) -> Response:
    """The Open Inference Protocol's JSON, without a look at what it claims."""
    tensor = orjson.loads(await request.body())["inputs"][0]
    return run(np.array(tensor["data"], np.float32).reshape(tensor["shape"]))


async def infer_raw(request: Request) -> Response:
    """The floats as they lie in memory."""
    return run(np.frombuffer(await request.body(), np.float32).reshape(row))


def run(array: np.ndarray) -> Response:
    """The answer as the protocol has it."""
    outputs = [
        {"name": name, "datatype": DATATYPES[value.dtype.name], "shape": value.shape, "data": value.ravel().tolist()}
        for name, value in zip(fetches, session.run(fetches, {feed.name: array}), strict=True)
    ]
    body = orjson.dumps({"model_name": NAME, "model_version": "1", "outputs": outputs})
    return Response(body, media_type="application/json")


routes = [
    Route("/v2/models/{model}/infer", infer_json, methods=["POST"]),
    Route("/raw", infer_raw, methods=["POST"]),
]

if __name__ == "__main__":
    uvicorn.run(Starlette(routes=routes), port=PORT, access_log=False, log_level="warning")

"""The bare route for a SavedModel, called as TensorFlow documents it. It checks nothing."""

import os

import numpy as np
import orjson
import tensorflow as tf
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

NAME = os.environ["NAME"]
DATATYPES = {"float32": "FP32", "int64": "INT64"}

loaded = tf.saved_model.load(os.environ["MODEL"])
serving_default = loaded.signatures["serving_default"]
[feed] = serving_default.structured_input_signature[1]


async def infer(request: Request) -> Response:
    """The Open Inference Protocol's JSON, without a look at what it claims."""
    tensor = orjson.loads(await request.body())["inputs"][0]
    array = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
    values = {name: value.numpy() for name, value in serving_default(**{feed: tf.constant(array)}).items()}
    outputs = [
        {"name": name, "datatype": DATATYPES[value.dtype.name], "shape": value.shape, "data": value.ravel().tolist()}
        for name, value in values.items()
    ]
    body = orjson.dumps({"model_name": NAME, "model_version": "1", "outputs": outputs})
    return Response(body, media_type="application/json")


if __name__ == "__main__":
    app = Starlette(routes=[Route("/v2/models/{model}/infer", infer, methods=["POST"])])
    uvicorn.run(app, port=int(os.environ["PORT"]), access_log=False, log_level="warning")

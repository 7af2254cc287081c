"""Ray Serve, with one replica."""

import signal
import sys
from typing import Any

from haproxy import use_haproxy

if "--haproxy" in sys.argv:
    use_haproxy()

import numpy as np
import ray
from ray import serve
from starlette.requests import Request

from session import NAME, PORT, open_session


@serve.deployment(max_ongoing_requests=64)
class OnnxModel:
    """The session behind one route."""

    def __init__(self) -> None:
        self.session = open_session()
        self.fetches = [node.name for node in self.session.get_outputs()]

    async def __call__(self, request: Request) -> dict[str, Any]:
        """All outputs, in the form of the request."""
        tensors = (await request.json())["inputs"]
        feeds = {t["name"]: np.array(t["data"], np.float32).reshape(t["shape"]) for t in tensors}
        named = zip(self.fetches, self.session.run(self.fetches, feeds), strict=True)
        return {"outputs": [{"name": n, "shape": value.shape, "data": value.ravel().tolist()} for n, value in named]}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(OnnxModel.bind(), route_prefix=f"/{NAME}")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()

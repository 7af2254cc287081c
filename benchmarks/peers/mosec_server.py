"""Mosec: a front in Rust and one worker; with ``batch`` its own batches, with ``raw`` requests of an array's memory."""

import os
import sys
from typing import Any

import msgspec
import numpy as np
from mosec import Server, Worker

from session import PORT, open_session

BATCH = 32
WAIT_MS = 10
"""Mosec's default."""


class OnnxModel(Worker):
    """The session behind Mosec's own address; with batches, the rows of all requests that wait are run as one."""

    def __init__(self) -> None:
        self.session = open_session()
        self.fetches = [node.name for node in self.session.get_outputs()]
        [feed] = self.session.get_inputs()
        self.feed = feed.name
        self.row = [size if isinstance(size, int) else -1 for size in feed.shape[1:]]

    def deserialize(self, data: bytes) -> np.ndarray:
        """The only input."""
        if "raw" in WAYS:
            return np.frombuffer(data, np.float32).reshape(-1, *self.row)
        [tensor] = msgspec.json.decode(data)["inputs"]
        return np.array(tensor["data"], np.float32).reshape(tensor["shape"])

    def forward(self, data: Any) -> Any:
        """All outputs, of one request or of each of several."""
        if "batch" not in WAYS:
            return self.session.run(self.fetches, {self.feed: data})
        values = self.session.run(self.fetches, {self.feed: np.concatenate(data)})
        ends = np.cumsum([len(one) for one in data])[:-1]
        return list(zip(*(np.split(value, ends) for value in values), strict=True))

    def serialize(self, data: Any) -> bytes:
        """The same form as the request."""
        named = zip(self.fetches, data, strict=True)
        outputs = [{"name": n, "shape": value.shape, "data": value.ravel().tolist()} for n, value in named]
        return msgspec.json.encode({"outputs": outputs})


WAYS = os.environ.setdefault("WAYS", " ".join(sys.argv[1:]))
"""The worker is a process of its own, without these arguments."""

if __name__ == "__main__":
    # it reads its settings from the command line and from the environment
    os.environ |= {"MOSEC_PORT": str(PORT), "MOSEC_ADDRESS": "127.0.0.1", "MOSEC_LOG_LEVEL": "warning"}
    os.environ |= {"MOSEC_TIMEOUT": "60000", "MOSEC_MAX_REQUEST_SIZE": str(64 * 2**20)}
    sys.argv = sys.argv[:1]
    batches = {"max_batch_size": BATCH, "max_wait_time": WAIT_MS} if "batch" in WAYS else {}
    server = Server()
    server.append_worker(OnnxModel, route="/raw" if "raw" in WAYS else "/inference", **batches)
    server.run()

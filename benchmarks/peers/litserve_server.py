"""LitServe."""

from typing import Any

import litserve
import numpy as np

from session import PORT, open_session


class OnnxModel(litserve.LitAPI):
    """The session behind LitServe's own address."""

    def setup(self, device: str) -> None:  # noqa: ARG002 LitServe gives it
        """Open the session in the process that infers."""
        self.session = open_session()
        self.fetches = [node.name for node in self.session.get_outputs()]

    def decode_request(self, request: dict[str, Any]) -> dict[str, np.ndarray]:
        """Arrays by name."""
        return {
            tensor["name"]: np.array(tensor["data"], np.float32).reshape(tensor["shape"])
            for tensor in request["inputs"]
        }

    def predict(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs."""
        return self.session.run(self.fetches, feeds)

    def encode_response(self, values: list[np.ndarray]) -> dict[str, Any]:
        """The same form as the request."""
        named = zip(self.fetches, values, strict=True)
        return {"outputs": [{"name": n, "shape": value.shape, "data": value.ravel().tolist()} for n, value in named]}


if __name__ == "__main__":
    server = litserve.LitServer(OnnxModel(), accelerator="cpu")
    server.run(
        host="127.0.0.1",
        port=PORT,
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )

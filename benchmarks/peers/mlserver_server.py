"""MLServer, with its inference in the process that serves."""

import json
import os
import sys
import tempfile
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from session import GRPC_PORT, NAME, PORT, open_session


class OnnxModel(MLModel):
    """The session behind the Open Inference Protocol."""

    async def load(self) -> bool:
        """Open the session."""
        self.session = open_session()
        self.fetches = [node.name for node in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """All outputs; MLServer makes of them what the protocol wants."""
        feeds = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        values = self.session.run(self.fetches, feeds)
        encoded = [NumpyCodec.encode_output(name, value) for name, value in zip(self.fetches, values, strict=True)]
        return InferenceResponse(model_name=self.name, model_version="1", outputs=encoded)


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="mlserver-"))
    settings = {"debug": False, "parallel_workers": 0, "host": "127.0.0.1", "http_port": PORT}
    settings |= {"grpc_port": GRPC_PORT, "metrics_port": PORT + 2}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(
        json.dumps({"name": NAME, "implementation": "mlserver_server.OnnxModel"})
    )
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    os.execv(Path(sys.executable).with_name("mlserver"), ["mlserver", "start", str(folder)])

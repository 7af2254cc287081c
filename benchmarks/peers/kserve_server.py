"""KServe's model server."""

from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

from session import GRPC_PORT, NAME, PORT, open_session

DATATYPES = {"float32": "FP32", "int64": "INT64"}


class OnnxModel(Model):
    """The session behind the Open Inference Protocol, over HTTP and gRPC."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.session = open_session()
        self.fetches = [node.name for node in self.session.get_outputs()]
        self.ready = True

    async def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        """All outputs, raw where the request was."""
        raw = payload.use_binary_outputs
        feeds = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
        outputs = []
        for name, value in zip(self.fetches, self.session.run(self.fetches, feeds), strict=True):
            output = InferOutput(name, list(value.shape), DATATYPES[value.dtype.name])
            output.set_data_from_numpy(value, binary_data=raw)
            outputs.append(output)
        return InferResponse(response_id="1", model_name=self.name, infer_outputs=outputs, use_binary_outputs=raw)


if __name__ == "__main__":
    ModelServer(http_port=PORT, grpc_port=GRPC_PORT, workers=1, access_log_format=None).start([OnnxModel()])

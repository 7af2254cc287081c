"""Clients of models that nothing is done to: each of their answers has to be right."""

import json
from itertools import count

import numpy as np

from grpc_calls import call, infer
from mlbuffet.grpc.messages.open_inference import ModelInferResponse
from soak.client import TIMEOUT, Steady

_LENGTH = "Inference-Header-Content-Length"


class AsksV1(Steady):
    """A small prediction as TensorFlow Serving has it."""

    kind = "/v1"
    pause = 0.01
    numbers = count()

    def predict(self) -> None:
        x = next(self.numbers) % 600
        answer = self.http.post("/v1/models/half:predict", json={"inputs": {"x": [x, 1]}})
        if self.note(answer, 200):
            self.check(answer.json(), {"outputs": [x / 2 + 2, 2.5]})


class AsksV2(Steady):
    """A small prediction of the Open Inference Protocol."""

    kind = "/v2"
    pause = 0.01
    numbers = count()

    def predict(self) -> None:
        x = next(self.numbers) % 600
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [x]}]}
        answer = self.http.post("/v2/models/half/infer", json=body)
        if self.note(answer, 200):
            self.check(answer.json()["outputs"][0]["data"], [x / 2 + 2])


class AsksLarge(Steady):
    """As many bytes as lie in memory that processes share, there and back, none of which may be another."""

    kind = "/v2, large"
    pause = 0.1

    def predict(self) -> None:
        values = np.random.default_rng().random(np.random.default_rng().integers(1, 600_000), np.float32)
        tensor = {"name": "x", "datatype": "FP32", "shape": [values.size]}
        head = {
            "inputs": [{**tensor, "parameters": {"binary_data_size": values.nbytes}}],
            "parameters": {"signature_name": "float32", "binary_data_output": True},
        }
        text = json.dumps(head).encode()
        body = text + values.tobytes()
        answer = self.http.post("/v2/models/e/infer", content=body, headers={_LENGTH: str(len(text))})
        if self.note(answer, 200):
            got = answer.content[int(answer.headers[_LENGTH]) :]
            if got != values.tobytes():
                self.check(f"{len(got)} other bytes", f"{values.nbytes} bytes")


class AsksText(Steady):
    """Texts of any length."""

    kind = "/v1, texts"
    pause = 0.05
    numbers = count(1)

    def predict(self) -> None:
        texts = [f"{number} " * (next(self.numbers) % 5000) for number in range(3)]
        answer = self.http.post("/v1/models/e:predict", json={"signature_name": "object", "inputs": {"x": texts}})
        if self.note(answer, 200):
            self.check(answer.json()["outputs"], texts)


class AsksGrpc(Steady):
    """A small prediction over gRPC."""

    kind = "gRPC"
    pause = 0.01
    numbers = count()

    def predict(self) -> None:
        x = next(self.numbers) % 600
        tensor = {"name": "x", "datatype": "FP32", "shape": [1], "contents": {"fp32_contents": [x]}}
        code, details, body = call(self.grpc, infer(inputs=[tensor]), timeout=TIMEOUT)
        if not body and self.is_stopped:  # the server may have been killed
            return
        self.tally.note(self.kind, code.name, ["OK"], details)
        if body:
            self.check(list(ModelInferResponse.FromString(body).outputs[0].contents.fp32_contents), [x / 2 + 2])


STEADY = (AsksV1, AsksV2, AsksLarge, AsksText, AsksGrpc)

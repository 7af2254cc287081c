"""Requests of the Open Inference Protocol over gRPC, and their answers, as bytes."""

import grpc
import numpy as np

from artifacts import Array, Artifact
from mlbuffet.grpc.messages.open_inference import ModelInferRequest, ModelInferResponse
from serving.bodies import DATATYPES, Body

PATH = "/inference.GRPCInferenceService/ModelInfer"
ANSWER_SECONDS = 30
_NUMPY = {"FP32": ("<f4", "fp32_contents"), "INT64": ("<i8", "int64_contents")}


class NoAnswer(Exception):
    """A call did not succeed; its text says how it ended."""


def raw_tensors(artifact: Artifact) -> Body:
    """One message as HTTP/2 carries it, with the memory of the arrays."""
    inputs = [
        {"name": name, "datatype": DATATYPES[value.dtype.name], "shape": value.shape}
        for name, value in artifact.inputs.items()
    ]
    contents = [value.tobytes() for value in artifact.inputs.values()]
    message = ModelInferRequest(model_name=artifact.name, inputs=inputs, raw_input_contents=contents)
    headers = {"te": "trailers", "content-type": "application/grpc"}
    return Body(path=PATH, content=framed(message.SerializeToString()), headers=headers, grpc=True)


def framed(message: bytes) -> bytes:
    """A message behind its head: that it is not compressed, and how long it is."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def ask(address: str, body: Body) -> bytes:
    """The message that answers one call. Raises `NoAnswer`."""
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        try:
            answer: bytes = channel.unary_unary(body.path)(body.content[len(framed(b"")) :], timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            raise NoAnswer(f"{error.code().name}: {error.details()}") from None
    return answer


def numbers_of(message: bytes) -> Array:
    """All numbers of an answer in their order, raw or not."""
    response = ModelInferResponse.FromString(message)
    found = []
    for place, output in enumerate(response.outputs):
        dtype, field = _NUMPY[output.datatype]
        if response.raw_output_contents:
            numbers = np.frombuffer(response.raw_output_contents[place], dtype)
        else:
            numbers = np.array(getattr(output.contents, field))
        found.append(numbers.astype(float))
    return np.concatenate(found)

"""The bare handler of gRPC: what a careful engineer writes by hand for an ONNX model. It checks nothing."""

import grpc
import numpy as np
import uvloop

from mlbuffet.grpc.messages.open_inference import ModelInferRequest, ModelInferResponse
from session import GRPC_PORT, open_session

session = open_session()
[feed] = session.get_inputs()
fetches = [node.name for node in session.get_outputs()]
DATATYPES = {"float32": "FP32", "int64": "INT64"}


async def infer(request: ModelInferRequest, _: grpc.aio.ServicerContext) -> ModelInferResponse:
    """Raw tensors both ways, without a look at what the request claims."""
    [tensor], [content] = request.inputs, request.raw_input_contents
    array = np.frombuffer(content, np.float32).reshape(tensor.shape)
    response = ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
    for name, value in zip(fetches, session.run(fetches, {feed.name: array}), strict=True):
        response.outputs.add(name=name, datatype=DATATYPES[value.dtype.name], shape=value.shape)
        response.raw_output_contents.append(value.tobytes())
    return response


async def serve() -> None:
    """Until it is ended."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    method = grpc.unary_unary_rpc_method_handler(
        infer,
        request_deserializer=ModelInferRequest.FromString,
        response_serializer=ModelInferResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": method})
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{GRPC_PORT}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())

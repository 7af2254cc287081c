"""Triton with a model in Python, through nvidia-pytriton."""

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from session import GRPC_PORT, NAME, PORT, open_session

DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}

session = open_session()
fetches = [node.name for node in session.get_outputs()]


@batch
def infer(**feeds: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs; Triton wants rows, also of what has one number for each."""
    values = session.run(fetches, feeds)
    return {name: value.reshape(len(value), -1) for name, value in zip(fetches, values, strict=True)}


if __name__ == "__main__":
    config = TritonConfig(http_address="127.0.0.1", http_port=PORT, grpc_port=GRPC_PORT, metrics_port=PORT + 2)
    with Triton(config=config) as server:
        server.bind(
            model_name=NAME,
            infer_func=infer,
            inputs=[Tensor(name=i.name, dtype=DTYPES[i.type], shape=tuple(i.shape[1:])) for i in session.get_inputs()],
            outputs=[Tensor(name=o.name, dtype=DTYPES[o.type], shape=(-1,)) for o in session.get_outputs()],
            config=ModelConfig(max_batch_size=64),
        )
        server.serve()

"""ovmsclient over gRPC, as its users have it, against a running server."""

from typing import Any

import numpy as np
import ovmsclient
import pytest
from ovmsclient.tfs_compat.base.errors import InvalidInputError, ModelNotFoundError


@pytest.fixture(scope="module")
def ovms(address: str) -> Any:
    return ovmsclient.make_grpc_client(address)


@pytest.mark.parametrize("version", [0, 1])
def test_predictions(ovms: Any, version: int) -> None:
    for x in ([2.0, 3.0], np.array([2, 3], np.float32)):
        assert ovms.predict({"x": x}, "half", version).tolist() == [3.0, 3.5]


def test_states_and_metadata(ovms: Any) -> None:
    assert ovms.get_model_status("half") == {1: {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}
    assert "cannot be loaded" in ovms.get_model_status("bad")[1]["error_message"]
    tensor = {"shape": [-1], "dtype": "DT_FLOAT"}
    assert ovms.get_model_metadata("half") == {"model_version": 1, "inputs": {"x": tensor}, "outputs": {"y": tensor}}


def test_errors(ovms: Any) -> None:
    with pytest.raises(ModelNotFoundError, match="there is no model 'nowhere'"):
        ovms.predict({"x": [1.0]}, "nowhere")
    for ask in (ovms.get_model_status, ovms.get_model_metadata):
        with pytest.raises(ModelNotFoundError, match="there is no model 'nowhere'"):
            ask("nowhere")
        with pytest.raises(ModelNotFoundError, match="there is no version 9 of the model 'half'; there are: 1"):
            ask("half", 9)
    with pytest.raises(InvalidInputError, match="input 'x' is missing"):
        ovms.predict({"w": [1.0]}, "half")
    with pytest.raises(InvalidInputError, match="input 'x' has dtype int64"):
        ovms.predict({"x": np.array([1])}, "half")

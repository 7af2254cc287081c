"""The linear runtime keeps every rule of a runtime, with and without softmax, and refuses what it cannot serve."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbuffet import LoadFailed
from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_linear import LinearOptions, LinearRuntime

X = np.array([[1.0, 2.0], [3.0, 4.0]])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.savez(tmp_path / "model.npz", weights=np.array([[1.0, 0.0], [2.0, -1.0]]), bias=np.array([0.5, 0.0]))
    return tmp_path / "model.npz"


class TestLinear(RuntimeConformance):
    @pytest.fixture
    def plugin(self) -> LinearRuntime:
        return LinearRuntime()

    @pytest.fixture
    def artifact(self, path: Path) -> Artifact:
        return Artifact(path, inputs={"x": X}, outputs={"y": np.array([[5.5, -2.0], [11.5, -4.0]])})


class TestLinearWithSoftmax(TestLinear):
    @pytest.fixture
    def artifact(self, path: Path) -> Artifact:
        chances = 1 / (1 + np.exp([[-7.5, 7.5], [-15.5, 15.5]]))
        return Artifact(path, inputs={"x": X}, outputs={"y": chances}, options={"softmax": True})


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"weights": np.ones((2, 3)), "bias": np.ones(2)}, r"weights float64 \(2, 3\), bias \(2,\)"),
        ({"weights": np.ones(3), "bias": np.ones(())}, r"weights float64 \(3,\)"),
        ({"weights": np.ones((2, 3), int), "bias": np.ones(3)}, "weights int64"),
    ],
)
def test_arrays_that_are_no_linear_model_are_refused(tmp_path: Path, arrays: dict[str, Any], reason: str) -> None:
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(LoadFailed, match=reason):
        LinearRuntime().load(tmp_path / "model.npz", LinearOptions())

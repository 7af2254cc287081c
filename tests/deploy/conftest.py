"""What the tests of manifests share: models as they are mounted into containers."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with the version 1 of ``iris``."""
    models = tmp_path_factory.mktemp("models")
    train = [sys.executable, str(ROOT / "examples/train_iris_onnx.py"), str(models / "iris/1")]
    subprocess.run(train, check=True, capture_output=True)
    return models

from pathlib import Path

import numpy as np
import pytest

from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_tensorflow._tensorflow import tf
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

WEIGHTS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights in a variable, numbers and text in and out."""
    module = tf.Module()
    module.weights = tf.Variable(WEIGHTS)
    module.call = tf.function(
        lambda x, word: {"scores": x @ module.weights, "shout": word + "!", "same": x},
        input_signature=[tf.TensorSpec([None, 4]), tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    path = tmp_path_factory.mktemp("conformance") / "model"
    tf.saved_model.save(module, str(path))
    return path


class TestTensorFlowConformance(RuntimeConformance):
    @pytest.fixture
    def plugin(self) -> TensorFlowRuntime:
        return TensorFlowRuntime()

    @pytest.fixture
    def artifact(self, saved: Path) -> Artifact:
        x = np.array([[1, 2, 3, 4], [-1, 0.5, 0, 2]], np.float32)
        word = np.array([b"one", b"\xfftwo\0"], object)
        return Artifact(
            saved,
            inputs={"x": x, "word": word},
            outputs={"scores": x @ WEIGHTS, "shout": np.array([b"one!", b"\xfftwo\0!"], object), "same": x},
        )

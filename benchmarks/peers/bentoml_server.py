"""BentoML, with one worker."""

import os
import sys
from pathlib import Path

import bentoml
import numpy as np

from session import PORT, open_session


@bentoml.service(workers=1, traffic={"timeout": 60})
class OnnxService:
    """The session behind BentoML's own address."""

    def __init__(self) -> None:
        self.session = open_session()
        self.fetches = [node.name for node in self.session.get_outputs()]
        [self.feed] = self.session.get_inputs()

    @bentoml.api
    def predict(self, x: np.ndarray) -> dict:
        """All outputs by name."""
        values = self.session.run(self.fetches, {self.feed.name: x.astype(np.float32)})
        return {name: value.tolist() for name, value in zip(self.fetches, values, strict=True)}


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    command = ["bentoml", "serve", "bentoml_server:OnnxService", "--host", "127.0.0.1", "--port", str(PORT)]
    os.execv(Path(sys.executable).with_name("bentoml"), command)

"""The way of a prediction through the files of the core stays as short as docs/architecture.md draws it."""

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest

import mlbuffet
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.http.prediction import PredictionCodec
from small_runtimes import repository_of, small_runtimes, write_models

CORE = str(Path(mlbuffet.__file__).parent) + "/"
DRAWING = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text().split("## Where things happen")[0]
TENSOR = {"name": "x", "shape": [3], "datatype": "FP32", "data": [1, 2, 3]}
REQUESTS = {
    "/v2/models/half/infer": {"inputs": [TENSOR]},
    "/v1/models/half:predict": {"instances": [1, 2, 3]},
    "/api/v1/models/half/prediction": {"values": [1, 2, 3]},
}


class Way:
    """The files of the core that are entered from another one, from the endpoint to `Model.predict`, in order.

    What a codec calls to decode a body is left out: that is the codec's own affair.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self._codec: FrameType | None = None
        self._is_under_way = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame is self._codec:
            self._codec = None
        file, caller = frame.f_code.co_filename, frame.f_back.f_code.co_filename if frame.f_back else ""
        if event != "call" or not file.startswith(CORE) or self._codec is not None:
            return
        name = file.removeprefix(CORE)
        self._is_under_way |= name.endswith("endpoints.py")
        if self._is_under_way and file != caller:
            self.files.append(name)
        if name.endswith("/prediction.py") and isinstance(frame.f_locals.get("self"), PredictionCodec):
            self._codec = frame
        if frame.f_code.co_name == "predict" and name == "model.py":
            sys.setprofile(None)


@pytest.mark.parametrize("path", REQUESTS)
def test_the_way_to_a_model_is_short_and_drawn(tmp_path: Path, path: str) -> None:
    repository = repository_of(write_models(tmp_path, {"half.half": "half"}), small_runtimes())
    application = create_app(repository, ServerSettings(fast_path=False))
    body = json.dumps(REQUESTS[path]).encode()

    async def ask() -> list[str]:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://mlbuffet") as client:
            for _ in range(20):  # until the model is known to be quick
                (await client.post(path, content=body)).raise_for_status()
            way = Way()
            sys.setprofile(way)
            try:
                (await client.post(path, content=body)).raise_for_status()
            finally:
                sys.setprofile(None)
            return way.files

    repository.load_all()
    try:
        files = asyncio.run(ask())
    finally:
        repository.close()
    assert files[-1] == "model.py"
    assert max(Counter(files).values()) <= 2, Counter(files).most_common(3)
    after_protocol = {name for name in files if not name.startswith("server/")}
    assert len(after_protocol) <= 9, sorted(after_protocol)
    drawn = set(re.findall(r"([a-z_]+\.py)", DRAWING))
    assert {name.rpartition("/")[2] for name in files} - drawn == {"tensors.py"}  # whose values all of them carry

"""MLBuffet's own predictions: values as they come, and images as the signature says."""

import io
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from mlbuffet import Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from uploading import RunApp, uploading

SPECS: dict[str, list[TensorSpec]] = {
    "matrix": [TensorSpec("x", np.float32, (None, 2))],
    "row": [TensorSpec("x", np.int64, (2,))],
    "scalar": [TensorSpec("x", np.float32, ())],
    "any": [TensorSpec("x", np.float32, None)],
    "text": [TensorSpec("x", object, (None,))],
    "two": [TensorSpec("a", np.float32, (None, 2)), TensorSpec("b", np.float32, ())],
    "none": [],
    "last": [TensorSpec("x", np.uint8, (None, 4, 6, 3))],
    "first": [TensorSpec("x", np.float32, (1, 3, 4, 6))],
    "gray": [TensorSpec("x", np.float32, (None, 4, 6, 1))],
    "unbatched": [TensorSpec("x", np.uint8, (4, 6, 3))],
    "any-size": [TensorSpec("x", np.uint8, (None, None, None, 3))],
    "unclear": [TensorSpec("x", np.uint8, (None, 3, 6, 3))],
    "five-channels": [TensorSpec("x", np.uint8, (None, 4, 6, 5))],
    "integers": [TensorSpec("x", np.int32, (None, 4, 6, 3))],
    "batch-of-two": [TensorSpec("x", np.uint8, (2, 4, 6, 3))],
}


class Shapes:
    """Gives back what it is given; the file names a signature of ``SPECS``."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".shape"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> str:
        return path.stem

    @hookimpl
    def signature(self, model: str) -> Signatures:
        return Signatures({"serving_default": Signature(SPECS[model], SPECS[model])})

    @hookimpl
    def predict(self, model: str, signature: str, inputs: Tensors) -> Tensors:
        return {name: array.copy() for name, array in inputs.items()}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, run_app: RunApp) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("models")
    for name in SPECS:
        (root / f"{name}.shape").touch()
    runtimes = Runtimes()
    runtimes.register(Shapes, name="shapes")
    with uploading(root, run_app, runtimes=runtimes) as served:
        yield served.client


def png(pixels: np.ndarray[Any, Any], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


PIXELS = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)


def ask(client: httpx.Client, model: str, image: bytes, field: str = "path") -> httpx.Response:
    return client.post(f"/api/v1/models/{model}/prediction", files={field: ("cat.png", image)})


@pytest.mark.parametrize(
    ("model", "values", "expected"),
    [
        ("matrix", [[1, 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]]),
        ("matrix", [1, 2], [[1.0, 2.0]]),
        ("matrix", {"x": [1, 2]}, [[1.0, 2.0]]),
        ("matrix", [], None),
        ("matrix", 1, None),
        ("matrix", [[[1, 2]]], None),
        ("matrix", [[1, 2], [3]], None),
        ("matrix", ["1", "2"], None),
        ("matrix", [True, False], None),
        ("matrix", None, None),
        ("matrix", {"y": [1, 2]}, None),
        ("matrix", {}, None),
        ("row", [1, 2], [1, 2]),
        ("row", 1, None),
        ("row", [1.5, 2], None),
        ("scalar", 1, 1.0),
        ("any", [[1], [2]], [[1.0], [2.0]]),
        ("any", 3, 3.0),
        ("text", "ß", ["ß"]),
        ("text", ["a", "b"], ["a", "b"]),
        ("two", {"a": [1, 2], "b": 3}, {"a": [[1.0, 2.0]], "b": 3.0}),
        ("two", [1, 2], None),
        ("none", {}, {}),
        ("none", [1], None),
    ],
)
def test_a_batch_of_one_is_made_only_where_exactly_one_dimension_is_missing(
    client: httpx.Client, model: str, values: Any, expected: Any
) -> None:
    answer = client.post(f"/api/v1/models/{model}/prediction", json={"values": values})
    assert answer.status_code == answer.json()["http_status"]["code"] == (400 if expected is None else 200), answer.text
    assert answer.json().get("values") == expected


@pytest.mark.parametrize("body", [b"", b"[1]", b"{}", b'{"values": 1, "x": 2}', b"{", b'{"values": [NaN, 1e999]}'])
def test_a_body_without_values_is_refused(client: httpx.Client, body: bytes) -> None:
    assert client.post("/api/v1/models/matrix/prediction", content=body).status_code == 400


def test_numbers_that_are_none_go_both_ways(client: httpx.Client) -> None:
    answer = client.post("/api/v1/models/matrix/prediction", content=b'{"values": [NaN, -Infinity]}')
    assert answer.text.endswith('"values":[[NaN,-Infinity]]}')


@pytest.mark.parametrize("field", ["path", "file"])
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("last", PIXELS[None]),
        ("first", PIXELS.transpose(2, 0, 1)[None]),
        ("unbatched", PIXELS),
        ("any-size", PIXELS[None]),
        ("gray", np.asarray(Image.fromarray(PIXELS).convert("L"))[None, :, :, None]),
    ],
)
def test_an_image_is_laid_out_as_the_signature_says(
    client: httpx.Client, model: str, expected: np.ndarray[Any, Any], field: str
) -> None:
    answer = ask(client, model, png(PIXELS), field)
    assert answer.status_code == 200, answer.text
    assert answer.json()["values"] == expected.tolist()


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("shape", [(8, 12, 3), (8, 12), (1, 1, 4)])
def test_an_image_of_any_size_and_kind_is_resized(client: httpx.Client, kind: str, shape: tuple[int, ...]) -> None:
    if kind == "JPEG" and shape[-1] == 4:
        shape = (1, 1, 3)  # it has no transparency
    answer = ask(client, "last", png(np.full(shape, 255, np.uint8), kind))
    assert np.array(answer.json()["values"]).shape == (1, 4, 6, 3)
    assert np.array(answer.json()["values"]).min() > 250


@pytest.mark.parametrize(
    "model", ["matrix", "any", "text", "two", "none", "unclear", "five-channels", "integers", "batch-of-two"]
)
def test_where_the_signature_does_not_say_how_an_image_is_422(client: httpx.Client, model: str) -> None:
    answer = ask(client, model, png(PIXELS))
    assert answer.status_code == answer.json()["http_status"]["code"] == 422
    assert "give its 'values' instead" in answer.json()["error"]


@pytest.mark.parametrize(
    "content",
    [b"", b"no image", png(PIXELS)[:50], b"%!PS-Adobe-3.0 EPSF-3.0\n"],
    ids=["empty", "text", "cut", "PostScript"],
)
def test_what_is_no_image_is_refused(client: httpx.Client, content: bytes) -> None:
    answer = ask(client, "last", content)
    assert (answer.status_code, "BMP, GIF, JPEG" in answer.json()["error"]) == (400, True)


def test_a_server_without_pillow_says_what_to_install(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    image = png(PIXELS)
    monkeypatch.setitem(sys.modules, "PIL", None)
    answer = ask(client, "last", image)
    assert (answer.status_code, "install mlbuffet[images]" in answer.json()["error"]) == (415, True)


def test_an_image_that_would_fill_the_memory_is_refused(client: httpx.Client) -> None:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 100_000
    assert ask(client, "last", buffer.getvalue()).status_code == 413


def test_an_image_is_turned_as_its_camera_was(client: httpx.Client) -> None:
    image = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(6, 4))
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    turned = np.rot90(np.arange(24).reshape(6, 4), -1)
    assert ask(client, "gray", buffer.getvalue()).json()["values"] == turned[None, :, :, None].tolist()

"""An image as the tensor that a model takes: resized and laid out as its signature says, where that says one thing."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from mlbuffet.errors import InvalidInput
from mlbuffet.tensors import Signature, TensorSpec, specs_text

FILE_FIELDS = ("path", "file")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
MAX_PIXELS = 2**26
_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a signature wants its image; a size of ``None`` is that of the image."""

    height: int | None
    width: int | None
    channels: int
    channels_first: bool


def image_inputs(image: bytes, signature: Signature) -> dict[str, NDArray[Any]]:
    """The only input of ``signature``, of the pixels as they are: 0 to 255, gray or RGB.

    Raises `HTTPException`: 422 where the signature does not say how, 413 for too many pixels, 415 where Pillow is not
    installed; and `InvalidInput` for what is no image.
    """
    specs = list(signature.inputs.values())
    layout = _layout(specs[0]) if len(specs) == 1 else None
    if layout is None:
        taken = specs_text(signature.inputs)
        raise HTTPException(422, f"an image does not fit the model, which takes {taken}; give its 'values' instead")
    pixels = _pixels(image, layout)
    array = pixels.transpose(2, 0, 1) if layout.channels_first else pixels
    rank = len(specs[0].shape or ())
    return {specs[0].name: array.reshape((1,) * (rank - 3) + array.shape).astype(specs[0].dtype)}


def _layout(spec: TensorSpec) -> _Layout | None:
    """What the shape says, with or without a batch dimension; ``None`` where it is unclear."""
    if spec.shape is None or len(spec.shape) not in (3, 4) or spec.dtype.kind not in "uf":
        return None
    if len(spec.shape) == 4 and spec.shape[0] not in (None, 1):
        return None
    first, middle, last = spec.shape[-3:]
    match first in _MODES, last in _MODES:
        case False, True:
            assert last is not None
            return _Layout(first, middle, last, channels_first=False)
        case True, False:
            assert first is not None
            return _Layout(middle, last, first, channels_first=True)
    return None


def _pixels(image: bytes, layout: _Layout) -> NDArray[np.uint8]:
    """Height, width, channels."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise HTTPException(415, "this server reads no images: install mlbuffet[images] there") from None
    try:
        with Image.open(BytesIO(image), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            upright = ImageOps.exif_transpose(opened).convert(_MODES[layout.channels])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise HTTPException(413, f"the image has more than {MAX_PIXELS} pixels") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError):
        raise InvalidInput(f"the file is no image that can be read; there are: {', '.join(FORMATS)}") from None
    size = (layout.width or upright.width, layout.height or upright.height)
    resized = upright if upright.size == size else upright.resize(size)
    return np.asarray(resized, np.uint8).reshape(size[1], size[0], layout.channels)

"""Images as input tensors, resized and laid out by the shape of the input."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from mlbuffet.errors import InvalidInput
from mlbuffet.tensors import Signature, TensorSpec, only_input, specs_text

FILE_FIELDS = ("path", "file")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
MAX_PIXELS = 2**26
_MODES: dict[int | None, str] = {1: "L", 3: "RGB"}


def image_inputs(image: bytes, signature: Signature) -> dict[str, NDArray[Any]]:
    """The only input of ``signature``, of the pixels as they are: 0 to 255, gray or RGB.

    Raises `HTTPException`: 422 where the signature does not define the layout, 413 for too many pixels, 415 where
    Pillow is not installed; and `InvalidInput` for what is not an image.
    """
    spec = only_input(signature.inputs)
    shape = None if spec is None else _image_shape(spec)
    if spec is None or shape is None:
        taken = specs_text(signature.inputs)
        raise HTTPException(422, f"an image does not fit the model, which takes {taken}; give its 'values' instead")
    first, middle, last = shape
    if last in _MODES:
        array = _pixels(image, first, middle, _MODES[last])
    else:
        array = _pixels(image, middle, last, _MODES[first]).transpose(2, 0, 1)
    rank = len(spec.sizes or ())
    return {spec.name: array.reshape((1,) * (rank - 3) + array.shape).astype(spec.dtype)}


def _image_shape(spec: TensorSpec) -> tuple[int | None, ...] | None:
    """The shape without the batch dimension, of which one end is the channels; ``None`` where it is not that clear."""
    if spec.sizes is None or len(spec.sizes) not in (3, 4) or spec.dtype.kind not in "uf":
        return None
    if len(spec.sizes) == 4 and spec.sizes[0] not in (None, 1):
        return None
    shape = spec.sizes[-3:]
    return shape if (shape[0] in _MODES) != (shape[2] in _MODES) else None


def _pixels(image: bytes, height: int | None, width: int | None, mode: str) -> NDArray[np.uint8]:
    """Height, width, channels; ``None`` is the size of the image."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise HTTPException(415, "this server reads no images: install mlbuffet[images] there") from None
    try:
        with Image.open(BytesIO(image), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            upright = ImageOps.exif_transpose(opened).convert(mode)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise HTTPException(413, f"the image has more than {MAX_PIXELS} pixels") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError):
        raise InvalidInput(f"the file is no image that can be read; there are: {', '.join(FORMATS)}") from None
    size = (width or upright.width, height or upright.height)
    resized = upright if upright.size == size else upright.resize(size)
    return np.asarray(resized, np.uint8).reshape(size[1], size[0], len(mode))

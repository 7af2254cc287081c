"""Text as arrays of UTF-8 bytes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput


def bytes_of_text(array: NDArray[Any], name: str) -> NDArray[Any]:
    """``array``, the input ``name``, with ``bytes`` for each ``str``; itself where it holds nothing but bytes.

    Raises `InvalidInput` for whatever is neither.
    """
    objects = array if array.dtype.kind == "O" else array.astype(object)
    for element in objects.ravel():  # a loop is the fastest for a few
        if type(element) is not bytes:
            return bytes_array(objects.ravel().tolist(), objects.shape, name).reshape(objects.shape)
    return objects


def bytes_array(elements: Sequence[Any], shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """A flat array of the elements of the input ``name`` of ``shape``; as above."""
    encoded = np.empty(len(elements), object)
    try:
        encoded[:] = [element.encode() if isinstance(element, str) else _plain(element) for element in elements]
    except (TypeError, UnicodeEncodeError):
        raise _refusal(elements, shape, name) from None
    return encoded


def text_array(texts: Sequence[str], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of ``shape`` with the UTF-8 of ``texts``."""
    encoded = np.empty(len(texts), object)
    encoded[:] = [text.encode() for text in texts]
    return encoded if len(shape) == 1 else encoded.reshape(shape)


def texts_in(array: NDArray[Any], name: str) -> list[str]:
    """The elements of the input ``name`` as text, in one list. Raises `InvalidInput` for what is not UTF-8."""
    try:
        return [element.decode() for element in (array if array.ndim == 1 else array.ravel()).tolist()]
    except UnicodeDecodeError as error:
        problem = f"input {name!r} holds bytes that are not UTF-8 ({error.object[:40]!r}); the model takes only text"
        raise InvalidInput(problem) from None


def place_in(shape: tuple[int, ...], position: int) -> str:
    """`` at [0, 2]``, for the element at a flat ``position``; nothing for a scalar."""
    return f" at {[int(index) for index in np.unravel_index(position, shape)]}" if shape else ""


def _plain(element: Any) -> bytes:
    if type(element) is bytes:
        return element
    if isinstance(element, bytes):
        return bytes(element)  # of numpy.bytes_
    raise TypeError


def _refusal(elements: Sequence[Any], shape: tuple[int, ...], name: str) -> InvalidInput:
    position = next(index for index, element in enumerate(elements) if not _is_text(element))
    wrong = elements[position]
    where = place_in(shape, position)
    if isinstance(wrong, str):
        return InvalidInput(f"input {name!r} holds text{where} that is not valid Unicode (a lone surrogate)")
    return InvalidInput(
        f"input {name!r} holds a value of type {type(wrong).__name__}{where}; the model takes bytes: {_instead(wrong)}"
    )


def _is_text(element: Any) -> bool:
    try:
        return isinstance(element, bytes) or element.encode() is not None
    except (AttributeError, UnicodeEncodeError):
        return False


def _instead(element: Any) -> str:
    match element:
        case bytearray() | memoryview():
            return "give bytes(...) of it"
        case list() | tuple() | np.ndarray():
            return "the rows of a tensor have one length, and are given as lists or as one array"
        case int() | complex() | np.number():
            return "give str(...) of it"
        case float() if element == element:
            return "give str(...) of it"
    return "give text (str) or bytes, and in place of a missing value what the model was trained with, such as ''"

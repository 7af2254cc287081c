"""JSON as models need it: NaN and infinities as bare tokens, floats with the fewest digits that give them back.

orjson and msgspec write NaN as null and refuse to read it; the standard library reads 1e999 as infinity. TensorFlow
Serving and Triton write and read the tokens ``NaN``, ``Infinity`` and ``-Infinity``, and so does this module.
"""

import codecs
import json
import math
import re
from typing import Any, TypeVar

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from mlbuffet.conversion import has_json_form, is_small, kind_of
from mlbuffet.errors import InvalidInput

T = TypeVar("T")

PIECE = 32 * 1024  # elements, which are written in a few ms
_AS_THEY_ARE = "?bBhHiIlLqQefd"  # the types whose finite numbers orjson writes
_STRING = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+"?)', re.DOTALL)
_BYTE_ORDER_MARKS = {  # that of UTF-32 begins as that of UTF-16
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_DISGUISE = b"e7777777"  # the exponent of numbers that stand for tokens: no type holds them, and input has none
_NAN, _INFINITY = b"1" + _DISGUISE, b"2" + _DISGUISE
_DISGUISED_MEMBER = re.compile(rb'"([^"\\]*+)"\s*+:\s*+(-?[12]e7777777)')


def decode(text: bytes, kind: type[T]) -> T:
    """``text`` as ``kind`` (a msgspec struct, or ``Any``). Raises `InvalidInput` with the path of the field."""
    try:
        if not text.isascii():
            text.decode()  # msgspec does not look at the text of members that it skips
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the JSON does not have the form expected: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if b"NaN" in text or b"Infinity" in text:
            return _decode_with_tokens(text, kind)
        raise InvalidInput(_not_json(error, text)) from None


def decode_outline(text: bytes, kind: type[T]) -> T:
    """As `decode`, for a ``kind`` with fields of type `msgspec.Raw`; `text_of` gives their text.

    msgspec skips the values of those; but it stops at tokens, which are replaced by numbers until then.
    """
    if _DISGUISE in text:
        raise InvalidInput("the text is not valid JSON: a number in it is out of range")
    if (b"N" in text and b"NaN" in text) or (b"I" in text and b"Infinity" in text):  # one letter is found faster
        pieces = _STRING.split(text)
        pieces[::2] = [piece.replace(b"NaN", _NAN).replace(b"Infinity", _INFINITY) for piece in pieces[::2]]
        text = b"".join(pieces)
    try:
        return decode(text, kind)
    except InvalidInput as error:
        if "out of range" in error.public:
            for name, token in _DISGUISED_MEMBER.findall(text):
                if name != b"data":  # a token that msgspec did not skip
                    problem = f"{name.decode(errors='replace')!r} is {text_of(token).decode()}"
                    rule = "only the elements of tensors may be NaN or infinite"
                    raise InvalidInput(f"the JSON does not have the form expected: {problem}; {rule}") from None
        raise


def text_of(raw: msgspec.Raw | bytes) -> bytes:
    """The text of a value that `decode_outline` left as it was."""
    text = bytes(raw)
    return text.replace(_NAN, b"NaN").replace(_INFINITY, b"Infinity") if _DISGUISE in text else text


def encode_array(array: NDArray[Any]) -> bytes:
    """``array`` as nested lists, a scalar as itself. Raises ``UnicodeDecodeError`` for bytes that are not UTF-8.

    A large one is written in pieces, between which other threads get the interpreter's lock.
    """
    if array.ndim == 0:
        return encode_array(array.reshape(1))[1:-1]
    dtype = array.dtype  # those of ml_dtypes have letters of numpy's
    if array.size <= PIECE and dtype.char in _AS_THEY_ARE and dtype.kind != "V" and array.flags.c_contiguous:
        text = orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
        if b"null" not in text:  # the rest is rarely needed, and takes as long again
            return text
    if array.size > PIECE:
        rows = max(1, PIECE * len(array) // array.size)
        if len(array) == 1:
            return b"[%b]" % encode_array(array[0])
        return b"[%b]" % b",".join([encode_array(array[row : row + rows])[1:-1] for row in range(0, len(array), rows)])
    if dtype.kind == "O":
        texts = [element.decode() for element in array.ravel()]
        return orjson.dumps(np.array(texts, object).reshape(array.shape).tolist())
    if not has_json_form(dtype):
        raise InvalidInput(f"{dtype.name} cannot be written as JSON")
    if is_small(dtype):
        array = array.astype(np.int8 if kind_of(dtype) == "i" else np.float32)
    text = orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
    return _with_tokens(text, array[~np.isfinite(array)]) if b"null" in text else text


def _decode_with_tokens(text: bytes, kind: type[T]) -> T:
    try:
        value = json.loads(text.decode(), parse_float=_finite)
        msgspec.json.encode(value)  # refuses lone surrogates and integers over 64 bits, as decoding above does
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the JSON does not have the form expected: {error}") from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(_not_json(error, text)) from None


def _not_json(error: Exception, text: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if text.startswith(mark):
            return f"the text begins with a byte order mark (BOM) of {encoding}; JSON is UTF-8 without one"
    match error:
        case RecursionError():
            reason = "it is nested too deep"
        case UnicodeDecodeError():
            reason = "it is not UTF-8"
        case msgspec.DecodeError() | json.JSONDecodeError():
            reason = str(error)
        case _:
            reason = "a number or a string in it is out of range"
    return f"the text is not valid JSON: {reason}"


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("number out of range")
    return value


def _with_tokens(text: bytes, values: NDArray[Any]) -> bytes:
    """``text`` with the tokens of ``values``, for each of which orjson wrote null."""
    tokens = [b"NaN" if math.isnan(value) else b"Infinity" if value > 0 else b"-Infinity" for value in values.tolist()]
    pieces = text.split(b"null")
    return b"".join(piece + token for piece, token in zip(pieces, [*tokens, b""], strict=True))

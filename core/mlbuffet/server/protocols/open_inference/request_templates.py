"""Decoding of requests that differ from earlier ones only in their numbers.

Clients of one model send the same names, shapes and parameters again and again. The text around the lists of numbers is
looked up; only the lists are decoded and checked.
"""

import re
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlbuffet.conversion import array_from_numbers
from mlbuffet.errors import InvalidInput
from mlbuffet.json_tensors.text import decode_outline
from mlbuffet.server.protocols.open_inference.binary import array_from_buffer
from mlbuffet.server.protocols.open_inference.requests import (
    InferCall,
    InferRequest,
    Parts,
    binary_size,
    call_of,
    checked_dtype,
    decode_request,
)
from mlbuffet.tensors import Signatures

LONGEST = 4 * 1024
"""Bytes of JSON up to which a request is looked up: in longer ones the numbers cost more than the rest."""
_MAX_KNOWN = 1024

_INTEGERS = msgspec.json.Decoder(list[int])
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "f": msgspec.json.Decoder(list[float]),
    "i": _INTEGERS,
    "u": _INTEGERS,
}
_SYNTAX = msgspec.json.Decoder(msgspec.Raw)  # checks commas and brackets, and creates no objects
_KEY = b'"data":'
_OF_NUMBERS = b"0123456789+-.eE \t\r\n"
_BRACKETS_AS_SPACES = bytes(ord(" ") if byte in b"[]" else byte for byte in range(256))
_INTEGER_MINUS_ZERO = re.compile(rb"-0(?![.0-9eE])")  # which is 0 as an integer, and -0.0 as a float

Skeleton = tuple[bytes, ...]
"""The text before, between and behind the lists of numbers."""


class RequestDecoder:
    """`decode_request` with a cache of the skeletons that arrived twice; safe in several threads."""

    def __init__(self) -> None:
        self._seen: set[Skeleton] = set()
        self._known: dict[Skeleton, _Form | None] = {}

    def decode(self, parts: Parts, signatures: Signatures) -> InferCall:
        """The call of a body. Raises `InvalidInput`, as `decode_request` does."""
        if parts.is_raw or len(parts.json) > LONGEST:
            return decode_request(parts, signatures)
        skeleton, lists = _skeleton(parts.json)
        form = self._known.get(skeleton)
        call = None if form is None else form.call(lists, parts.buffers)
        if call is not None:
            return call
        call = decode_request(parts, signatures)
        if skeleton not in self._seen:
            if len(self._seen) >= _MAX_KNOWN:
                self._seen.clear()
                self._known.clear()
            self._seen.add(skeleton)
        elif skeleton not in self._known:
            self._known[skeleton] = _form_of(skeleton, lists)
        return call


class _List(NamedTuple):
    """A tensor in JSON."""

    name: str
    dtype: np.dtype[Any]
    shape: list[int]
    structure: bytes
    """The brackets and commas of the list."""

    def array(self, text: bytes) -> NDArray[Any] | None:
        try:
            if self.structure.startswith(b"[["):
                if text.translate(None, _OF_NUMBERS) != self.structure:
                    return None
                _SYNTAX.decode(text)
                text = b"[%b]" % text.translate(_BRACKETS_AS_SPACES)
            if b"-0" in text and _INTEGER_MINUS_ZERO.search(text):
                return None
            numbers = _DECODERS[self.dtype.kind].decode(text)
            if len(numbers) != prod(self.shape):
                return None
            return array_from_numbers(numbers, self.dtype, self.name, ()).reshape(self.shape)
        except (msgspec.MsgspecError, InvalidInput):
            return None


class _Buffer(NamedTuple):
    """A tensor in a raw buffer."""

    name: str
    dtype: np.dtype[Any]
    shape: list[int]
    size: int


class _Form(NamedTuple):
    """What the requests with one skeleton have in common."""

    call_without_inputs: InferCall
    tensors: list[_List | _Buffer]
    buffers_size: int

    def call(self, lists: Sequence[bytes], buffers: memoryview) -> InferCall | None:
        """The call with these numbers; ``None`` where `decode_request` has to decode them or raise an error."""
        if len(buffers) != self.buffers_size:
            return None
        arrays: dict[str, NDArray[Any]] = {}
        texts, position = iter(lists), 0
        for tensor in self.tensors:
            if isinstance(tensor, _List):
                array = tensor.array(next(texts))
                if array is None:
                    return None
            else:
                buffer = buffers[position : position + tensor.size]
                array = array_from_buffer(buffer, tensor.dtype, tensor.shape, tensor.name)
                position += tensor.size
            arrays[tensor.name] = array
        known = self.call_without_inputs
        return InferCall(arrays, known.signature, known.outputs, known.default_form, known.id, known.parameters)


def _skeleton(text: bytes) -> tuple[Skeleton, list[bytes]]:
    """``text`` split into what looks like lists of numbers under the name "data", and the text around those."""
    skeleton, lists, begin = [], [], 0
    while (found := text.find(_KEY, begin)) >= 0:
        start = found + len(_KEY)
        if text.startswith(b" ", start):
            start += 1
        depth = 0
        while text.startswith(b"[", start + depth):
            depth += 1
        end = text.find(b"]" * depth, start) + depth
        if not depth or end < start:
            break
        skeleton.append(text[begin:start])
        lists.append(text[start:end])
        begin = end
    skeleton.append(text[begin:])
    return tuple(skeleton), lists


def _form_of(skeleton: Skeleton, lists: Sequence[bytes]) -> _Form | None:
    """What requests with ``skeleton`` have in common; ``None`` where its lists are not the data of its inputs.

    To find out, the request is decoded with a mark in the place of each list: every input in JSON has to hold its mark.
    """
    marks = [b"[0.%d]" % position for position in range(len(lists))]
    marked = b"".join([piece for pair in zip(skeleton, [*marks, b""], strict=True) for piece in pair])
    if any(marked.count(mark) > 1 for mark in marks):
        return None
    try:
        request = decode_outline(marked, InferRequest)
    except InvalidInput:
        return None
    texts, tensors, size_of_buffers = dict(zip(marks, lists, strict=True)), list[_List | _Buffer](), 0
    for tensor in request.inputs:
        dtype, size = checked_dtype(tensor), binary_size(tensor)
        if size is not None:
            tensors.append(_Buffer(tensor.name, dtype, tensor.shape, size))
            size_of_buffers += size
            continue
        text = texts.pop(bytes(tensor.data), None)
        if text is None or dtype.kind not in _DECODERS:
            return None
        tensors.append(_List(tensor.name, dtype, tensor.shape, text.translate(None, _OF_NUMBERS)))
    return None if texts else _Form(call_of(request, {}), tensors, size_of_buffers)

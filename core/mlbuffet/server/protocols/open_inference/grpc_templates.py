"""Reading of messages that differ from earlier ones only in their ids and raw contents.

Clients of one model send the same names, shapes and parameters again and again. The bytes before the raw contents are
looked up; the arrays are then views of the message.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.grpc.messages.open_inference import ModelInferRequest
from mlbuffet.grpc.service import reader
from mlbuffet.inference import ModelSelector
from mlbuffet.server.protobuf_fields import field_head
from mlbuffet.server.protocols.open_inference.binary import PLAIN
from mlbuffet.server.protocols.open_inference.grpc_requests import DecodedMessage, decode_message, selector_of
from mlbuffet.server.protocols.open_inference.requests import InferCall

LONGEST = 4 * 1024
"""Bytes before the raw contents up to which they are looked up."""
_MAX_KNOWN = 1024
_NUMBERS = {name: field.number for name, field in ModelInferRequest.DESCRIPTOR.fields_by_name.items()}
_RAW = _NUMBERS["raw_input_contents"]
_FIRST_BYTES = {name: field_head(number, 0)[0] for name, number in _NUMBERS.items()}
"""Of each field. All are of text, of bytes or of a message, whose length follows."""
_ID, _FIRST_RAW, _ANY = _FIRST_BYTES["id"], _FIRST_BYTES["raw_input_contents"], frozenset(_FIRST_BYTES.values())
_CONTINUES = 0x80
"""The bit of a varint's byte that says that another one follows."""


class RawTensor(NamedTuple):
    """A tensor whose size is known before its buffer arrives."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    head: bytes
    """What precedes the buffer."""
    size: int


class Template(NamedTuple):
    """What the messages with one beginning have in common."""

    selector: ModelSelector
    call_without_inputs: InferCall
    tensors: Sequence[RawTensor]
    size: int
    """Of all fields of raw contents."""


class TemplatedRequest(msgspec.Struct, frozen=True, gc=False):
    """A message that fits a template."""

    template: Template
    id: str
    body: bytes
    begin: int
    """Where its raw contents begin."""

    def decoded(self) -> DecodedMessage:
        """The same as `decode_message` of the message."""
        body, position = self.body, self.begin
        arrays: dict[str, NDArray[Any]] = {}
        for name, dtype, shape, head, size in self.template.tensors:
            position += len(head)
            arrays[name] = np.ndarray(shape, dtype, body, position)
            position += size
        known = self.template.call_without_inputs
        call = InferCall(arrays, known.signature, known.outputs, known.default_form, self.id or None, known.parameters)
        return DecodedMessage(call, is_raw=True)


class _Beginning(msgspec.Struct, frozen=True, gc=False):
    """What precedes the raw contents."""

    key: bytes
    """All but the id."""
    id: bytes
    size: int


Request: TypeAlias = ModelInferRequest | TemplatedRequest


class RequestReader:
    """Reads requests, with a cache of the beginnings that arrived twice; on one event loop."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._known: dict[bytes, Template | None] = {}
        self._read = reader(ModelInferRequest)

    def read(self, body: bytes) -> Request:
        """The request in ``body``. Raises `InvalidInput`."""
        beginning = _beginning_of(body)
        template = None if beginning is None else self._known.get(beginning.key)
        if beginning is not None and template is not None and (found := _fitting(template, beginning, body)):
            return found
        message: ModelInferRequest = self._read(body)
        if beginning is None:
            return message
        if beginning.key not in self._seen:
            if len(self._seen) >= _MAX_KNOWN:
                self._seen.clear()
                self._known.clear()
            self._seen.add(beginning.key)
        elif beginning.key not in self._known:
            template = _template_of(message)
            is_whole = template is not None and beginning.size + template.size == len(body)
            self._known[beginning.key] = template if is_whole else None  # else what follows the contents would be in it
        return message


def _beginning_of(body: bytes) -> _Beginning | None:
    """The beginning of ``body``; ``None`` where it is long, or no raw contents follow."""
    key, given, kept, position = b"", b"", 0, 0
    most = min(LONGEST, len(body) - 2)
    while position < most and (first := body[position]) != _FIRST_RAW:
        size, content = body[position + 1], position + 2
        if size >= _CONTINUES:
            size, content = size - _CONTINUES + body[content] * _CONTINUES, content + 1
        if first not in _ANY or body[content - 1] >= _CONTINUES:
            return None
        if first == _ID:
            if kept:
                return None
            key, given, kept = key + body[kept:position], body[content : content + size], content + size
        position = content + size
    if position >= most:
        return None
    return _Beginning(key + body[kept:position] if kept else body[:position], given, position)


def _fitting(template: Template, beginning: _Beginning, body: bytes) -> TemplatedRequest | None:
    """The request in ``body``; ``None`` where its raw contents are not those of the template."""
    position = beginning.size
    if len(body) - position != template.size:
        return None
    for _, _, _, head, size in template.tensors:
        if not body.startswith(head, position):
            return None
        position += len(head) + size
    try:
        return TemplatedRequest(template, beginning.id.decode(), body, beginning.size)
    except UnicodeDecodeError:  # which protobuf refuses
        return None


def _template_of(message: ModelInferRequest) -> Template | None:
    """The template of messages that begin as ``message`` does; ``None`` where their sizes do not follow, or it is to
    be refused.
    """
    try:
        selector = selector_of(message.model_name, message.model_version)
        call = decode_message(message).call
    except InvalidInput:
        return None
    if not PLAIN.issuperset(array.dtype for array in call.inputs.values()):
        return None
    tensors = [
        RawTensor(name, array.dtype, array.shape, field_head(_RAW, array.nbytes), array.nbytes)
        for name, array in call.inputs.items()
    ]
    size = sum(len(tensor.head) + tensor.size for tensor in tensors)
    return Template(selector, replace(call, inputs={}, id=None), tensors, size)

"""What is remembered of a request changes the price of the next one, and nothing else."""

import json
import re
from typing import Any

import pytest

from mlbuffet import InvalidInput, Signatures
from mlbuffet.server.protocols.open_inference import request_templates
from mlbuffet.server.protocols.open_inference.request_templates import RequestDecoder
from mlbuffet.server.protocols.open_inference.requests import InferCall, decode_request, take_apart

NONE = Signatures({}, None)


def body(*tensors: dict[str, Any], **members: Any) -> bytes:
    whole = [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4], **tensor} for tensor in tensors]
    return json.dumps({**members, "inputs": whole}).encode()


def outcome(text: bytes, decode: Any, length: str | None = None) -> Any:
    """All that a call holds, to the last bit, or why there is none."""
    try:
        call: InferCall = decode(take_apart(text, length), NONE)
    except InvalidInput as error:
        return str(error)
    arrays = {name: (array.dtype, array.shape, array.tobytes()) for name, array in call.inputs.items()}
    return arrays, call.signature, call.outputs, call.default_form, call.id


def taught(text: bytes, length: str | None = None) -> RequestDecoder:
    decoder = RequestDecoder()
    for _ in range(2):
        decoder.decode(take_apart(text, length), NONE)
    return decoder


def is_remembered(decoder: RequestDecoder, text: bytes, monkeypatch: pytest.MonkeyPatch) -> bool:
    asked = []

    def decode(*call: Any) -> InferCall:
        asked.append(call)
        return decode_request(*call)

    monkeypatch.setattr(request_templates, "decode_request", decode)
    assert outcome(text, decoder.decode) == outcome(text, decode_request)
    monkeypatch.undo()
    return not asked


FLAT, NESTED, COLUMN = body({}), body({"data": [[1, 2], [3, 4]]}), body({"shape": [2, 1], "data": [[1], [2]]})
TWO = body({}, {"name": "y", "shape": [3], "datatype": "INT8", "data": [7, 8, 9]}, outputs=[{"name": "z"}])
TIGHT = TWO.replace(b" ", b"")
LEARNED = [FLAT, NESTED, COLUMN, TWO, TIGHT, body({}, parameters={"signature_name": "s", "binary_data_output": True})]


def with_numbers(text: bytes, *numbers: bytes) -> bytes:
    """``text``, in which these stand for the numbers of its lists."""
    following = iter(numbers)
    return re.sub(rb"(?<=[\[ ,])\d(?=[\],])(?![^\[]*\"datatype)", lambda _: next(following, b"5"), text)


@pytest.mark.parametrize("text", LEARNED)
@pytest.mark.parametrize("numbers", [[b"5", b"6"], [b"-1", b"-0", b"0"], [b"1.5e0", b"1E-3", b" 7 "]])
def test_other_numbers_are_read_as_ever(text: bytes, numbers: list[bytes]) -> None:
    decoder, changed = taught(text), with_numbers(text, *numbers)
    assert changed != text
    assert outcome(changed, decoder.decode) == outcome(changed, decode_request)


@pytest.mark.parametrize("text", LEARNED)
def test_a_request_that_came_twice_is_remembered(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = RequestDecoder()
    for _ in range(2):
        assert not is_remembered(decoder, text, monkeypatch)
    assert is_remembered(decoder, text, monkeypatch)
    assert is_remembered(decoder, with_numbers(text, b"5", b"6"), monkeypatch)


WRONG = [b"true", b"null", b'"1"', b"NaN", b"-Infinity", b"1e40", b"1e400", b"01", b"+1", b".5", b"1.", b"1 1", b"[1]"]
WRONG += [b"", b"1,1", b"{}", b"0x1", b"1e", b"1]", b"1]]", b"-", b"--1", b"1_0", b"18446744073709551616", b"\\u0031"]


@pytest.mark.parametrize("text", [FLAT, NESTED, TWO, TIGHT])
@pytest.mark.parametrize("number", WRONG)
@pytest.mark.parametrize("position", [0, 1, 3, 6])
def test_what_is_no_number_is_refused_as_ever(text: bytes, number: bytes, position: int) -> None:
    changed = with_numbers(text, *[b"5"] * position, number)
    assert outcome(changed, taught(text).decode) == outcome(changed, decode_request)


MISPLACED = [b"[[1, 2], 3[, 4]]", b"[[1, ]2, [3, 4]]", b"[[1, 2]3, [, 4]]", b"1[[, 2], [3, 4]]", b"[[1, 2], [3, ]4]"]


@pytest.mark.parametrize(
    "data", [*MISPLACED, b"[[1,2]3,[,4]]", b"[[1,2],3,[4]]", b"[[1],[2,3,4]]", b"[[1,2,3,4]]", b"[1,2,[3,4]]"]
)
def test_lists_of_another_form_are_refused_as_ever(data: bytes) -> None:
    changed = NESTED.replace(b"[[1, 2], [3, 4]]", data)
    assert outcome(changed, taught(NESTED).decode) == outcome(changed, decode_request)


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text[:20], lambda text: text + b" 1"])
def test_a_request_that_is_cut_is_refused_as_ever(change: Any) -> None:
    for text in LEARNED:
        assert outcome(change(text), taught(text).decode) == outcome(change(text), decode_request)


@pytest.mark.parametrize(
    "text",
    [
        body({}, data=[1]),
        body({"data": [[1, 2], [3, 4]]}, data=[1]).replace(b'"data": [[', b'"data" : [['),
        body({"shape": [1], "data": [1]}, data=[1]).replace(b'"data": [1]}', b'"data" : [1]}'),
        body({"shape": [1], "data": [0.5], "parameters": {"data": [1]}}).replace(b'"data": [0.5]', b'"data" : [0.0]'),
        body({"name": 'x"data":[1]'}),
        body({"datatype": "BYTES", "data": ["a", "b", "c", "d"]}),
        body({"datatype": "BOOL", "data": [True, False, True, False]}),
        body({}, id='"data":[1]'),
    ],
)
def test_lists_that_are_not_simply_the_data_of_inputs_mislead_nobody(text: bytes) -> None:
    decoder = taught(text)
    for old, new in ((b"[1]", b"[2]"), (b"[1, 2", b"[3, 2"), (b"0.0", b"0.25"), (b"[1]}", b"[9]}")):
        changed = text.replace(old, new)
        assert outcome(changed, decoder.decode) == outcome(changed, decode_request)


def test_buffers_are_read_as_ever() -> None:
    head = body({"data": None, "parameters": {"binary_data_size": 16}}, {"name": "y"})
    decoder = taught(head + bytes(16), str(len(head)))
    for buffers in (bytes(range(16)), bytes(15), bytes(17), b""):
        text = head + buffers
        for length in (str(len(head)), str(len(text)), "1_0", None):
            assert outcome(text, decoder.decode, length) == outcome(text, decode_request, length)


def test_memory_is_bounded() -> None:
    decoder = RequestDecoder()
    for number in range(3000):
        for _ in range(2):
            decoder.decode(take_apart(body({"name": f"x{number}"})), NONE)
    assert len(decoder._known) <= len(decoder._seen) <= 1024

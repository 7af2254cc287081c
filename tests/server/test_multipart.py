"""Forms are the same however their bytes arrive, and any other bytes are refused."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbuffet.errors import InvalidInput
from mlbuffet.server.protocols.management.multipart import MAX_FIELD_BYTES, MAX_FIELDS, Form

TYPE = "multipart/form-data; boundary=b"
FILE = b'--b\r\nContent-Disposition: form-data; name="path"; filename="C:\\a\\x.half"\r\nContent-Type: a/b\r\n\r\n'
CONTENT = bytes(range(256)) + b"\r\n-b\r\n--\r\n--a"
FIELD = '--b\r\ncontent-disposition: form-data; name="model_description"\r\n\r\nKinds of ß\r\n'.encode()
BODY = FIELD + FILE + CONTENT + b"\r\n--b--\r\n"


def read(body: bytes, cuts: list[int]) -> tuple[bytes, str | None, str]:
    taken = bytearray()
    form = Form(TYPE, ["path"], taken.extend)
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in pairwise(places):
        form.feed(body[start:end])
    form.end()
    return bytes(taken), form.file_name, form.text("model_description")


@given(st.lists(st.integers(0, len(BODY))))
def test_a_form_is_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    assert read(BODY, cuts) == (CONTENT, "x.half", "Kinds of ß")


@given(st.binary() | st.builds(lambda cut, more: BODY[:cut] + more, st.integers(0, len(BODY) - 5), st.binary()))
def test_any_other_bytes_are_refused_or_a_form(body: bytes) -> None:
    with suppress(InvalidInput):
        read(body, [])


@pytest.mark.parametrize(
    "fields",
    [
        [("a", b"x" * (MAX_FIELD_BYTES + 1))],
        [(str(number), b"") for number in range(MAX_FIELDS + 1)],
    ],
)
def test_fields_are_bounded(fields: list[tuple[str, bytes]]) -> None:
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)
        for name, value in fields
    )
    with pytest.raises(InvalidInput, match="more than"):
        read(parts + BODY, [])


@pytest.mark.parametrize("content_type", ["multipart/form-data", f"multipart/form-data; boundary={'b' * 300}"])
def test_a_boundary_is_needed(content_type: str) -> None:
    with pytest.raises(InvalidInput):
        Form(content_type, ["path"], lambda _: None)

"""A body of multipart/form-data (RFC 7578) as it arrives: its fields, and one file, which is handed on in pieces."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mlbuffet.errors import InvalidInput

CONTENT_TYPE = "multipart/form-data"
MAX_FIELDS = 16
MAX_FIELD_BYTES = 2**16


class Form:
    """The form; ``take`` gets each piece of the file that lies in one of ``file_fields``.

    Raises `InvalidInput` for what is no form or holds another file, besides what ``take`` raises.
    """

    def __init__(self, content_type: str, file_fields: Sequence[str], take: Callable[[bytes], None]) -> None:
        _, options = parse_options_header(content_type)
        if b"boundary" not in options:
            raise InvalidInput(f"the content type {CONTENT_TYPE} has no boundary")
        self.file_name: str | None = None
        """The name of the file, as the client has it; ``None`` before it came."""
        self._file_fields = file_fields
        self._take = take
        self._fields: dict[str, bytes] = {}
        self._field: str | None = None
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._ended = False
        with _told():
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_data,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )

    def feed(self, data: bytes) -> None:
        """Take more of the body."""
        with _told():
            self._parser.write(data)

    def end(self) -> None:
        """The body has ended. Raises `InvalidInput` where the form has not, or has no file."""
        if not self._ended:
            raise InvalidInput(f"the body is not valid {CONTENT_TYPE}: it is cut")
        if self.file_name is None:
            raise InvalidInput(f"the form has no file in its field {self._file_fields[0]!r}")

    def text(self, field: str) -> str:
        """What a field says; nothing where it is not there."""
        return self._fields.get(field, b"").decode(errors="replace")

    def _begin_part(self) -> None:
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _begin_data(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode(errors="replace")
        if b"filename" in options:
            if name not in self._file_fields or self.file_name is not None:
                raise InvalidInput(f"the form holds a file besides that in its field {self._file_fields[0]!r}")
            self.file_name = options[b"filename"].decode(errors="replace")
            self._field = None
            return
        self._field = name
        self._fields[name] = b""
        if len(self._fields) > MAX_FIELDS:
            raise InvalidInput(f"the form has more than {MAX_FIELDS} fields")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._take(data[start:end])
            return
        self._fields[self._field] += data[start:end]
        if len(self._fields[self._field]) > MAX_FIELD_BYTES:
            raise InvalidInput(f"the field {self._field[:40]!r} of the form has more than {MAX_FIELD_BYTES} bytes")

    def _end(self) -> None:
        self._ended = True


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except FormParserError:
        raise InvalidInput(f"the body is not valid {CONTENT_TYPE}") from None

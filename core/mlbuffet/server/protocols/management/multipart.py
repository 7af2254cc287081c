"""Forms (multipart/form-data, RFC 7578): their fields, and one file, which is passed on piece by piece."""

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mlbuffet.errors import InvalidInput

CONTENT_TYPE = "multipart/form-data"
MAX_FIELDS = 16
MAX_FIELD_BYTES = 2**16


def is_form(content_type: str) -> bool:
    """Whether a body of this content type is a form."""
    return content_type.partition(";")[0].strip().lower() == CONTENT_TYPE


class Form:
    """A form; ``take`` is called with each piece of the file that lies in one of ``file_fields``.

    ``check_field`` is called with the name of each other field when it begins, and with those before it.

    Raises `InvalidInput` for a body that is not a form or holds another file, besides what ``take`` and ``check_field``
    raise.
    """

    def __init__(
        self,
        content_type: str,
        file_fields: Sequence[str],
        take: Callable[[bytes], None],
        check_field: Callable[[str, Container[str]], None] = lambda _name, _before: None,
    ) -> None:
        _, options = parse_options_header(content_type)
        if b"boundary" not in options:
            raise InvalidInput(f"the content type {CONTENT_TYPE} has no boundary")
        self.file_name: str | None = None
        """The name of the file, as the client sent it; ``None`` until it has arrived."""
        self._file_fields = file_fields
        self._take = take
        self._check_field = check_field
        self._fields: dict[str, bytes] = {}
        self._field: str | None = None
        self._header, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._ended = False
        with _as_invalid_input():
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_data,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )

    def feed(self, data: bytes) -> None:
        """Parse the next piece of the body."""
        with _as_invalid_input():
            self._parser.write(data)

    def end(self) -> None:
        """End the body. Raises `InvalidInput` where the form is cut off, or has no file."""
        if not self._ended:
            raise InvalidInput(f"the body is not valid {CONTENT_TYPE}: it is cut")
        if self.file_name is None:
            raise InvalidInput(f"the form has no file in its field {self._file_fields[0]!r}")

    @property
    def texts(self) -> dict[str, str]:
        """The values of all fields but the file."""
        return {name: value.decode(errors="replace") for name, value in self._fields.items()}

    def text(self, field: str) -> str:
        """The value of a field; empty where it is missing."""
        return self.texts.get(field, "")

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _begin_data(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._disposition = b""
        name = options.get(b"name", b"").decode(errors="replace")
        if b"filename" in options:
            if name not in self._file_fields or self.file_name is not None:
                raise InvalidInput(f"the form holds a file besides that in its field {self._file_fields[0]!r}")
            self.file_name = options[b"filename"].decode(errors="replace")
            self._field = None
            return
        self._check_field(name, self._fields)
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
def _as_invalid_input() -> Iterator[None]:
    try:
        yield
    except FormParserError:
        raise InvalidInput(f"the body is not valid {CONTENT_TYPE}") from None

"""A part of a text without a copy: to copy megabytes takes longer than to search them."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)  # frozen, it would take three times as long to make
class Span:
    """The bytes of ``text`` from ``begin`` to ``end``; positions are counted from ``begin`` on, as in a copy."""

    text: bytes
    begin: int
    end: int

    @classmethod
    def over(cls, text: "bytes | Span") -> "Span":
        """All of ``text``."""
        return text if isinstance(text, Span) else cls(text, 0, len(text))

    def __len__(self) -> int:
        return self.end - self.begin

    def __bytes__(self) -> bytes:
        return self.text[self.begin : self.end]

    def find(self, part: bytes, begin: int = 0) -> int:
        """The first position of ``part``, or -1."""
        return max(self.text.find(part, self.begin + begin, self.end) - self.begin, -1)

    def startswith(self, part: bytes) -> bool:
        """Whether it begins with ``part``."""
        return self.text.startswith(part, self.begin, self.end)

    def part(self, begin: int, end: int) -> "Span":
        """The part between two positions, which may be beyond the end."""
        return Span(self.text, min(self.begin + begin, self.end), min(self.begin + end, self.end))

    def parts(self, length: int) -> "Iterator[Span]":
        """Consecutive parts of ``length`` bytes; the last may be shorter."""
        return (self.part(begin, begin + length) for begin in range(0, len(self), length))

    @property
    def view(self) -> memoryview:
        """The bytes as a buffer."""
        return memoryview(self.text)[self.begin : self.end]

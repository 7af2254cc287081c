"""A part of a text that is not copied: to bring megabytes into fresh memory takes longer than to look through them."""

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
        """Where ``part`` is found first, or -1."""
        return max(self.text.find(part, self.begin + begin, self.end) - self.begin, -1)

    def startswith(self, part: bytes) -> bool:
        """Whether ``part`` is the first there is."""
        return self.text.startswith(part, self.begin, self.end)

    def part(self, begin: int, end: int) -> "Span":
        """What lies between two positions, which may be beyond the end."""
        return Span(self.text, min(self.begin + begin, self.end), min(self.begin + end, self.end))

    def parts(self, length: int) -> "Iterator[Span]":
        """All, one after the other, each of so many bytes but for the last."""
        return (self.part(begin, begin + length) for begin in range(0, len(self), length))

    @property
    def view(self) -> memoryview:
        """The same for what takes any buffer."""
        return memoryview(self.text)[self.begin : self.end]

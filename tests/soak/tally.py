"""What became of the requests of all clients."""

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from threading import Lock

_SHOWN = 200


@dataclass
class Tally:
    """May be told from any thread."""

    answers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By kind of request, how often it was answered how."""
    failed: list[str] = field(default_factory=list)
    """Requests that were answered otherwise than they may be, or not at all."""
    wrong: list[str] = field(default_factory=list)
    """Answers that say what is not so."""
    slowest: float = 0.0
    """Seconds until the slowest answer to a question that nothing should have disturbed."""
    _lock: Lock = field(default_factory=Lock)

    @property
    def total(self) -> int:
        """How many requests."""
        with self._lock:
            return sum(counts.total() for counts in self.answers.values())

    def note(self, kind: str, answer: object, allowed: Collection[object], text: str = "") -> None:
        """A request was answered with the status ``answer``; any but those ``allowed`` is a failure."""
        with self._lock:
            self.answers[kind][str(answer)] += 1
            if answer not in allowed:
                self.failed.append(f"{kind}: {answer} {text[:_SHOWN]}")

    def fail(self, kind: str, error: BaseException) -> None:
        """A request got no answer, or something else went wrong."""
        with self._lock:
            self.answers[kind]["none"] += 1
            self.failed.append(f"{kind}: {type(error).__name__}: {str(error)[:_SHOWN]}")

    def note_wrong(self, kind: str, got: object, expected: object) -> None:
        """An answer should have been another."""
        with self._lock:
            self.wrong.append(f"{kind}: {str(got)[:_SHOWN]} instead of {str(expected)[:_SHOWN]}")

    def note_seconds(self, seconds: float) -> None:
        """A question that nothing should have disturbed was answered within so many ``seconds``."""
        with self._lock:
            self.slowest = max(self.slowest, seconds)

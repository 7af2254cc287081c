"""What the campaign shows while it runs, and says at its end."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from soak.load import Resources
from soak.tally import Tally

_SHOWN = 20
_MOST_MEMORY = 64 * 2**20
_MOST_FILES = 8


class Shown:
    """A line, a bar and a table on a terminal; nothing elsewhere."""

    def __init__(self, tally: Tally, seconds: float) -> None:
        self._tally = tally
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self._task = self._bar.add_task("", total=seconds)
        self._begun = time.monotonic()

    def tell(self, what: str) -> None:
        """What happens now."""
        self._bar.update(self._task, description=what)

    def __rich__(self) -> Group:
        self._bar.update(self._task, completed=time.monotonic() - self._begun)
        tally = self._tally
        text = f"{tally.total} requests, {len(tally.failed)} failures, {len(tally.wrong)} wrong answers"
        return Group(self._bar, Text(text), answers(tally))


@contextmanager
def shown(tally: Tally, seconds: float) -> Iterator[Shown]:
    """While the campaign runs."""
    console = Console(stderr=True)
    one = Shown(tally, seconds)
    with Live(one, console=console, refresh_per_second=2, transient=True) if console.is_terminal else _nothing():
        yield one


def answers(tally: Tally) -> Table:
    """How often which kind of request was answered how."""
    table = Table("asked", "how often", "answered", box=None)
    for kind, counts in sorted(tally.answers.items()):
        table.add_row(kind, str(counts.total()), ", ".join(f"{one}: {count}" for one, count in sorted(counts.items())))
    return table


def report(tally: Tally, growths: Sequence[Resources], left: Sequence[str], kills: int) -> bool:
    """Print it; whether all is well."""
    console = Console(width=150)
    console.print(answers(tally))
    console.print(f"{tally.total} requests; {len(tally.failed)} failed that should not have; {len(tally.wrong)} wrong")
    console.print(f"slowest answer of a model that nothing was done to: {tally.slowest:.1f} s")
    for number, grown in enumerate(growths, 1):
        console.print(
            f"server {number}, from half of its time to the end: memory {grown.memory / 2**20:+.1f} MiB, "
            f"{grown.files:+} open files, {grown.threads:+} threads, {grown.processes:+} processes"
        )
    console.print(f"left behind after {kills} kills and a regular end: {', '.join(left) or 'nothing'}")
    for found in (tally.failed, tally.wrong):
        for one, count in Counter(re.sub(r"\d+", "N", text) for text in found).most_common(_SHOWN):
            console.print(f"{count} x {one}", markup=False)
    leaks = [one for one in growths if one.memory > _MOST_MEMORY or one.files > _MOST_FILES or one.processes > 0]
    return not (tally.failed or tally.wrong or left or leaks)


@contextmanager
def _nothing() -> Iterator[None]:
    yield

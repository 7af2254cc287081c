"""Results for people: a table on the terminal, and a page of all that is on disk."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.table import Table

from case import Case
from figures import Outcome
from results import read
from targets import TARGETS

EXTRAS = ("p50 ms", "p99 ms", "cpu us", "MB", "index ms", "first s", "load s", "refused/s", "lost/s", "bad answers")
Row = tuple[str, ...]


def as_table(outcome: Outcome) -> Table:
    """Medians of a case, and what each is times the first of its setting."""
    head, *rows = _rows(outcome)
    table = Table(title=outcome.title, title_justify="left", box=None, pad_edge=False)
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number < 2 else "right")
    for row in rows:
        table.add_row(*row)
    for name, reason in outcome.absent.items():
        table.add_row(name, "absent", reason)
    return table


def targets_table(outcomes: Mapping[str, Outcome]) -> Table:
    """What is to be reached, beside what these measured of it."""
    head, *rows = _target_rows(outcomes)
    rows = [row for row in rows if row[-1]]
    table = Table(*head, title="Targets", title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    return table


def not_measured(outcomes: Mapping[str, Outcome], cases: Iterable[Case]) -> list[str]:
    """Lines with the contenders that could not be measured, and with the cases that were left out."""
    lines = [
        f"{case}, {name}: {reason}" for case, outcome in outcomes.items() for name, reason in outcome.absent.items()
    ]
    others = [case for case in cases if case.name not in outcomes]
    for asked_for, why in ((False, "left out"), (True, "measured only when named")):
        if names := [case.name for case in others if case.asked_for is asked_for]:
            lines.append(f"{why}: {' '.join(names)}")
    return lines


def write_page(folder: Path) -> None:
    """``README.md`` beside the results: targets and tables as Markdown."""
    found = {file.stem: read(file) for file in sorted(folder.glob("*.json"))}
    outcomes = {name: outcome for name, (outcome, _) in found.items()}
    parts = ["# What was measured", "Made by `make bench`; [how and why](../README.md).", "## Targets"]
    parts.append(_markdown(_target_rows(outcomes)))
    for outcome, machine in found.values():
        parts.append(f"## {outcome.case}: {outcome.title}")
        parts.append(f"{machine['date']}, {machine['cores']} cores of {machine['cpu']}, Python {machine['python']}.")
        parts.append(_markdown(_rows(outcome)))
        parts += [f"Absent: {name}, because {reason}." for name, reason in outcome.absent.items()]
    (folder / "README.md").write_text("\n\n".join(parts) + "\n")


def _rows(outcome: Outcome) -> list[Row]:
    extras = [unit for unit in EXTRAS if any(unit in rounds[0] for rounds in outcome.rounds.values())]
    rows: list[Row] = [("contender", "setting", outcome.unit, "x first", *extras)]
    for key, rounds in outcome.rounds.items():
        figures = [_number(outcome.median(key, unit)) if unit in rounds[0] else "" for unit in extras]
        ratio = f"{outcome.ratio(key, outcome.baseline(key)):.2f}"
        rows.append((key.contender, key.setting, _number(outcome.median(key)), ratio, *figures))
    return rows


def _target_rows(outcomes: Mapping[str, Outcome]) -> list[Row]:
    rows: list[Row] = [("case", "ours", "held against", "wanted", "measured", "")]
    for target in TARGETS:
        measured = target.measured(outcomes)
        theirs = target.theirs[0].contender if len(target.theirs) == 1 else "the best Python peer"
        if target.theirs[0].setting != target.ours.setting:
            theirs += f", {target.theirs[0].setting}"
        ours = ", ".join(part for part in target.ours if part) + (f", {target.unit}" if target.unit else "")
        verdict = "" if measured is None else "reached" if target.reached(measured) else "not reached"
        shown = "not measured" if measured is None else f"{measured:.2f}"
        rows.append((target.case, ours, theirs, target.wanted, shown, verdict))
    return rows


def _number(value: float) -> str:
    if value == 0 or value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def _markdown(rows: Sequence[Row]) -> str:
    head, *body = rows
    return "\n".join([_line(head), _line(["---"] * len(head)), *map(_line, body)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"

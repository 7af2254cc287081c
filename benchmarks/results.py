"""Results on disk: a JSON file for each case, from which the report and the plot are made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from figures import Key, Outcome


def save(outcome: Outcome, machine: Mapping[str, object], folder: Path) -> None:
    """Write one case."""
    figures = [
        {
            "contender": key.contender,
            "setting": key.setting,
            "median": {unit: _short(outcome.median(key, unit)) for unit in rounds[0]},
            "ratio": _short(outcome.ratio(key, outcome.baseline(key))),
            "rounds": [{unit: _short(value) for unit, value in one.items()} for one in rounds],
        }
        for key, rounds in outcome.rounds.items()
    ]
    head = {"case": outcome.case, "title": outcome.title, "unit": outcome.unit, "machine": machine}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**head, "figures": figures, "absent": outcome.absent}, indent=1)
    (folder / f"{outcome.case}.json").write_text(text + "\n")


def read(file: Path) -> tuple[Outcome, dict[str, Any]]:
    """A case, and the machine that measured it."""
    found = json.loads(file.read_text())
    rounds = {Key(one["contender"], one["setting"]): one["rounds"] for one in found["figures"]}
    parts = {name: found[name] for name in ("case", "title", "unit", "absent")}
    return Outcome(**parts, rounds=rounds), found["machine"]


def _short(value: float) -> float:
    """Four digits: a fifth would be noise."""
    return float(f"{value:.4g}")

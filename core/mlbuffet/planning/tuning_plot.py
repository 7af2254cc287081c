"""The latency of a model over its throughput, for each setting that was tried, as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from mlbuffet.planning.picture import write
from mlbuffet.planning.tuning import Trial, described


def draw(trials: Sequence[Trial], best: Trial | None, limit: float | None, picture: Path) -> None:
    """Write a line a setting, from one caller to many; the present one, the first, and the best stand out."""
    figure, panel = plt.subplots(figsize=(8, 4.5))
    for trial in trials[1:]:
        if trial is not best:
            _line(trial, "", color="#cccccc", linewidth=1)
    _line(trials[0], "present: " + described(trials[0].setting), color="#2c3e50", linewidth=2)
    if best is not None and best is not trials[0]:
        _line(best, "best: " + described(best.setting), color="#c0392b", linewidth=2)
    if limit is not None:
        panel.axhline(limit * 1000, linestyle="--", color="gray", label="the limit")
    panel.set_xlabel("rows a second, of 1, 4, 16 and 64 callers", fontsize=8)
    panel.set_ylabel("ms, of 99 in 100 calls", fontsize=8)
    panel.set_yscale("log")
    panel.set_xlim(left=0)
    panel.tick_params(labelsize=8)
    panel.legend(fontsize=8)
    write(figure, picture)


def _line(trial: Trial, label: str, *, color: str, linewidth: float) -> None:
    rates = [point.rate for point in trial.points]
    latencies = [point.p99 * 1000 for point in trial.points]
    plt.plot(rates, latencies, "o-", label=label, color=color, linewidth=linewidth, markersize=4)

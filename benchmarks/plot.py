"""The results as a picture: requests a second of every server, as times the bare route."""

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from figures import Key, Outcome
from results import read

PANELS = (
    ("onnx", "16 connections"),
    ("tensorflow", "16 connections"),
    ("cnn", "16 connections"),
    ("pixels-json", "1 connection"),
    ("pixels-binary", "1 connection"),
    ("grpc", "16 connections"),
)
OURS, THEIRS = "#c0392b", "#95a5a6"


def draw(folder: Path, picture: Path) -> None:
    """One panel for each of the chosen cases that is there."""
    files = [(folder / f"{case}.json", setting) for case, setting in PANELS]
    found = [(*read(file), setting) for file, setting in files if file.exists()]
    if not found:
        return
    sizes = [sum(key.setting == setting for key in outcome.rounds) for outcome, _, setting in found]
    figure, panels = plt.subplots(
        len(found), 1, figsize=(8, 1.2 + 0.3 * sum(sizes) + 0.5 * len(sizes)), height_ratios=sizes, squeeze=False
    )
    for (outcome, _, setting), panel in zip(found, panels[:, 0], strict=True):
        _draw_panel(panel, outcome, setting)
    machine = found[0][1]
    figure.suptitle(
        "Requests a second, in brackets as times the first of its group\n"
        f"{machine['date']}, {machine['cores']} cores of {machine['cpu']}, medians of alternating rounds",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(picture, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _draw_panel(panel: Axes, outcome: Outcome, setting: str) -> None:
    keys: list[Key] = [key for key in outcome.rounds if key.setting == setting]
    names = [key.contender for key in keys]
    values = [outcome.median(key) for key in keys]
    colours = [OURS if name.startswith("MLBuffet") else THEIRS for name in names]
    bars = panel.barh(names, values, color=colours)
    labels = [f"{outcome.median(key):,.0f} ({outcome.ratio(key, keys[0]):.2f})" for key in keys]
    panel.bar_label(bars, labels, padding=3, fontsize=8)
    panel.set_title(f"{outcome.title}, {setting}", fontsize=9, loc="left")
    panel.set_xlim(0, max(values) * 1.25)
    panel.tick_params(labelsize=8)
    panel.invert_yaxis()
    panel.xaxis.set_visible(False)
    panel.spines[["top", "right", "bottom"]].set_visible(False)

"""What the tests of the command line share."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which the small runtimes are installed."""
    info = tmp_path / "site" / "half-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: half\nVersion: 1.0\n")
    entries = ["half = small_runtimes:HalfPlusTwo", "sleep = small_runtimes:Sleep", "lost = no_such_module"]
    entries.append("process = small_runtimes:ProcessId")
    (info / "entry_points.txt").write_text("\n".join(["[mlbuffet]", *entries]))
    places = [str(info.parent), str(Path(__file__).parents[1])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "COLUMNS": "300"}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    root.mkdir()
    for name, text in {"good.half": "half", "bad.half": "corrupt"}.items():
        (root / name).write_text(text)
    return root

"""What the tests of the command line share."""

from pathlib import Path

import pytest

from processes import environment_with_runtimes


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which the small runtimes are installed."""
    return environment_with_runtimes(tmp_path)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    root.mkdir()
    for name, text in {"good.half": "half", "bad.half": "corrupt"}.items():
        (root / name).write_text(text)
    return root


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that says which process answers."""
    path = tmp_path / "a.process"
    path.touch()
    return path

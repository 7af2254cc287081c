"""Folders with a model.py, for tests."""

from pathlib import Path
from textwrap import dedent

HEADER = "import numpy as np\nfrom mlbuffet_python import *\n\n"


def write_model(folder: Path, method: str, *, name: str = "model.py", header: str = HEADER, before: str = "") -> Path:
    """A model whose class has ``method``, the text of one or more of its members."""
    folder.mkdir(parents=True, exist_ok=True)
    members = "".join(f"    {line}\n" for line in dedent(method).strip().splitlines())
    (folder / name).write_text(f"{header}{dedent(before)}\nclass Model:\n{members}", encoding="utf-8")
    return folder

"""A figure as a file, the same for the same figure."""

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

_UNTOLD = {".png": "Software", ".svg": "Date"}
"""What a file would say of its making."""


def write(figure: Figure, picture: Path) -> None:
    """Write the figure to a ``.png`` or ``.svg``, and forget it."""
    figure.tight_layout()
    figure.savefig(picture, dpi=110, metadata={_UNTOLD[picture.suffix]: None})
    plt.close(figure)

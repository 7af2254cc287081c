"""What the first bytes of a file say about a LiteRT model in it."""

from pathlib import Path

from mlbuffet.hookspecs import first_bytes

_SUFFIX = ".tflite"
_MAGIC = b"TFL3"


def is_model(path: Path) -> bool:
    """Whether ``path`` is a file called ``*.tflite`` with a LiteRT model."""
    return path.suffix.lower() == _SUFFIX and first_bytes(path)[4:8] == _MAGIC


def unservable(path: Path) -> str | None:
    """Why ``path``, which is LiteRT's, cannot be served; ``None`` for models, and for what is not LiteRT's."""
    if not path.is_file() or is_model(path):
        return None
    if first_bytes(path)[4:8] == _MAGIC:
        return "it is a LiteRT model under another name: rename it so that it ends in .tflite"
    if path.suffix.lower() == _SUFFIX:
        return "the .tflite file is empty or damaged: it does not begin as a LiteRT model does; copy it again"
    return None

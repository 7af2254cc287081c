"""Converters small enough to be read at a glance, and a runtime for what they write."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlbuffet import hookimpl
from mlbuffet.converting import Source
from small_runtimes import HalfPlusTwo


def half(source: Source) -> bytes:
    """The model, or with the option ``add`` one that adds as much; ``opset`` 13 is one that nothing can load."""
    if source.name != "serving_default":
        raise KeyError(source.name)
    return b"broken" if source.opset == 13 else f"half {source.options.get('add', 2)}".encode()


class HalfAsOnnx(HalfPlusTwo):
    """What `half` writes."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """An .onnx file of the tests."""
        return path.suffix == ".onnx" and path.read_bytes()[:4] in (b"half", b"brok")

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> float:
        _, add = path.read_text().split()
        return float(add)

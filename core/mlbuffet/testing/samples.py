"""What the suite shows a runtime: a model with its sample, the sample in other memory layouts, and files to refuse."""

import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlbuffet.tensors import Tensors


@dataclass(frozen=True)
class Artifact:
    """A small model on disk, a sample for it, and what it must answer.

    ``inputs`` have exactly the declared dtypes; ``outputs`` are all outputs of the signature, which is the default one
    unless ``signature`` names another. Two rows whose values differ find more faults than one row of zeros.
    """

    path: Path
    inputs: Tensors
    outputs: Tensors
    signature: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """As numpy sees the body of a request."""
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen


def transposed(array: NDArray[Any]) -> NDArray[Any]:
    """In Fortran's order."""
    return array.copy(order="F")


def flipped(array: NDArray[Any]) -> NDArray[Any]:
    """The same values the other way round, for a second question that the model takes too."""
    return np.flip(array).copy() if array.ndim else array.copy()


def backwards(array: NDArray[Any]) -> NDArray[Any]:
    """With negative strides."""
    return np.flip(flipped(array)) if array.ndim else array


def strided(array: NDArray[Any]) -> NDArray[Any]:
    """With gaps between the elements."""
    return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array


def unaligned(array: NDArray[Any]) -> NDArray[Any]:
    """At an odd address, as a tensor behind a header of any length may be."""
    if array.dtype.hasobject or not array.size:
        return array
    return np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)


LAYOUTS = (read_only, transposed, backwards, strided, unaligned)


def foreign(folder: Path) -> list[Path]:
    """Files and folders that are no runtime's model; suffixes that a runtime might use are avoided."""
    (empty := folder / "empty.foreign").touch()
    (noise := folder / "noise.foreign").write_bytes(_noise(4096))
    (text := folder / "README.md").write_text("# Not a model\n")
    (hollow := folder / "hollow").mkdir()
    (filled := folder / "filled").mkdir()
    (filled / "README.md").write_text("# Not a model\n")
    return [empty, noise, text, hollow, filled]


def lookalikes(name: str, folder: Path) -> dict[str, Path]:
    """What may stand, or be missing, at a path called ``name``."""
    make: dict[str, Callable[[Path], Any]] = {
        "nothing": lambda _path: None,
        "an empty file": Path.touch,
        "a file of noise": lambda path: path.write_bytes(_noise(4096)),
        "an empty folder": Path.mkdir,
    }
    paths = {}
    for number, kind in enumerate(make):
        paths[kind] = folder / str(number) / name
        paths[kind].parent.mkdir()
        make[kind](paths[kind])
    return paths


class Damaged(NamedTuple):
    """A copy of an artifact, what was done to it, and whether its largest file now lacks a part."""

    what: str
    path: Path
    incomplete: bool


_DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "cut in half": lambda content: content[: len(content) // 2],
    "emptied": lambda _content: b"",
    "removed": lambda _content: None,
    "overwritten with noise": lambda content: _noise(len(content)),
    "inverted in its first bytes": lambda content: bytes(byte ^ 255 for byte in content[:64]) + content[64:],
}
_INCOMPLETE = ("cut in half", "emptied", "removed")


def damaged_copies(source: Path, folder: Path) -> Iterator[Damaged]:
    """Copies of ``source`` in which one file has suffered: each file in each way."""
    files = [path for path in (source, *sorted(source.rglob("*"))) if path.is_file() and path.stat().st_size]
    largest = max(files, key=lambda path: path.stat().st_size)
    for number, (file, damage) in enumerate((file, damage) for file in files for damage in _DAMAGES):
        copy = folder / str(number) / source.name
        copy.parent.mkdir(parents=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
        _replace(copy / file.relative_to(source), _DAMAGES[damage](file.read_bytes()))
        yield Damaged(
            f"{file.relative_to(source.parent)} {damage}", copy, incomplete=file == largest and damage in _INCOMPLETE
        )


def _replace(file: Path, content: bytes | None) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


def _noise(length: int) -> bytes:
    return random.Random(0).randbytes(length)  # noqa: S311 the same noise in every run

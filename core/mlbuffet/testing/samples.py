"""The suite's material: a model with its sample, other memory layouts, files to refuse, and damaged copies."""

import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlbuffet.comparison import random_inputs
from mlbuffet.tensors import Signatures, Tensors


@dataclass(frozen=True)
class Artifact:
    """A small model on disk, a sample of inputs, and the outputs that it must give.

    ``inputs`` have exactly the declared dtypes; ``outputs`` are all outputs of the signature, which is the default one
    unless ``signature`` names another. Two different rows find more faults than one row of zeros.
    """

    path: Path
    inputs: Tensors
    outputs: Tensors
    signature: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    samples: Mapping[str, Tensors] = field(default_factory=dict)
    """Inputs of other signatures by their names, where they cannot take random ones."""
    beside: Mapping[str, Path] = field(default_factory=dict)
    """The models that it calls, by name: artifacts of the plugin itself, or of runtimes that are installed."""


class Call(NamedTuple):
    """A call of one signature, perhaps with inputs that are made up."""

    signature: str
    inputs: Tensors
    is_made_up: bool = False


def calls_of(artifact: Artifact, signatures: Signatures) -> Iterator[Call]:
    """A call of each signature and of each of its variants; random inputs where there is no sample."""
    samples = {**artifact.samples, signatures.resolve(artifact.signature): artifact.inputs}
    for name, signature in signatures.items():
        if name in samples:
            yield Call(name, samples[name])
            continue
        for variant in signature.variants or (signature,):
            yield Call(name, random_inputs(variant, seed=0), is_made_up=True)


def flipped(array: NDArray[Any]) -> NDArray[Any]:
    """In reverse order: other inputs that the model takes too."""
    return np.flip(array).copy() if array.ndim else array.copy()


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen


def _unaligned(array: NDArray[Any]) -> NDArray[Any]:
    """At an odd address, like a tensor behind a header."""
    if array.dtype.hasobject or not array.size:
        return array
    return np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)


LAYOUTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "read_only": _read_only,
    "transposed": lambda array: array.copy(order="F"),
    "backwards": lambda array: np.flip(flipped(array)) if array.ndim else array,
    "strided": lambda array: np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array,
    "unaligned": _unaligned,
}


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
    """Paths called ``name`` at which there is no model."""
    make: dict[str, Callable[[Path], Any]] = {
        "nothing": lambda _path: None,
        "an empty file": Path.touch,
        "a file of noise": lambda path: path.write_bytes(_noise(4096)),
        "an empty folder": Path.mkdir,
    }
    paths = {kind: folder / str(number) / name for number, kind in enumerate(make)}
    for kind, path in paths.items():
        path.parent.mkdir()
        make[kind](path)
    return paths


class Damaged(NamedTuple):
    """A copy of an artifact, its damage, and whether a part of its largest file is missing."""

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
_CUTS: dict[str, Callable[[bytes], bytes | None]] = {
    "cut to an eighth": lambda content: content[: len(content) // 8],
    "cut to a quarter": lambda content: content[: len(content) // 4],
    "cut to three quarters": lambda content: content[: len(content) * 3 // 4],
    "cut by its last byte": lambda content: content[:-1],
}
"""Of the largest file, besides."""
_INCOMPLETE = ("cut in half", "emptied", "removed", "cut to an eighth", "cut to a quarter")
"""After three quarters there may be nothing more that is needed."""


def damaged_copies(source: Path, folder: Path) -> Iterator[Damaged]:
    """Copies of ``source`` with one file damaged: each file in each way, and the largest cut at more lengths."""
    files = [path for path in (source, *sorted(source.rglob("*"))) if path.is_file() and path.stat().st_size]
    largest = max(files, key=lambda path: path.stat().st_size)
    damages = [(file, what, change) for file in files for what, change in _DAMAGES.items()]
    damages += [(largest, what, change) for what, change in _CUTS.items()]
    for number, (file, what, change) in enumerate(damages):
        copy = folder / str(number) / source.name
        copy.parent.mkdir(parents=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
        damaged = copy / file.relative_to(source)
        damaged.unlink()
        if (content := change(file.read_bytes())) is not None:
            damaged.write_bytes(content)
        incomplete = file == largest and what in _INCOMPLETE
        yield Damaged(f"{file.relative_to(source.parent)} {what}", copy, incomplete)


def _noise(length: int) -> bytes:
    return random.Random(0).randbytes(length)  # noqa: S311 the same noise in every run

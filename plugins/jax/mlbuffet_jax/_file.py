"""What the first bytes of a file say about an exported function of JAX in it."""

from pathlib import Path
from typing import BinaryIO

_BYTECODE = b"ML\xefR"
_MODULE = 30
"""Where the table of a FlatBuffer of jax.export says where the module is (`Exported.mlir_module_serialized`)."""


def is_exported(path: Path) -> bool:
    """Whether ``path`` is a file that `jax.export.Exported.serialize` wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _is_stablehlo(_module_head(file))


def unservable(path: Path) -> str | None:
    """Why ``path``, which is JAX's, cannot be served; ``None`` for models, and for what is not JAX's."""
    if (path / "manifest.ocdbt").exists() or (path / "_CHECKPOINT_METADATA").exists():
        return (
            "it is a checkpoint of Orbax: weights without the function that uses them; export that with "
            "jax.export.export(jax.jit(function))(...).serialize()"
        )
    if not path.is_file() or is_exported(path):
        return None
    with path.open("rb") as file:
        if _is_stablehlo(file.read(64)):
            return "it is the StableHLO module alone; save what exported.serialize() returns"
    if path.suffix.lower() == ".jax":
        return "the file is empty, cut short or damaged, or not what exported.serialize() of jax.export returns"
    return None


def _module_head(file: BinaryIO) -> bytes:
    """The first bytes of the module in the FlatBuffer ``file``; others, or none, where it is none."""
    root = _number(file, 0)
    table = root - _number(file, root, signed=True)
    offset = _number(file, table + _MODULE, size=2)
    if table <= 0 or not offset:
        return b""
    vector = root + offset
    file.seek(vector + _number(file, vector) + 4)
    return file.read(64)


def _is_stablehlo(head: bytes) -> bool:
    return head.startswith(_BYTECODE) and b"StableHLO_v" in head


def _number(file: BinaryIO, position: int, *, size: int = 4, signed: bool = False) -> int:
    file.seek(max(position, 0))
    return int.from_bytes(file.read(size), "little", signed=signed)

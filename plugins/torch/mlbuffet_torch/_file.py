"""What the entries of a zip file say about a PyTorch model in it, before PyTorch reads it."""

import zipfile
from collections.abc import Set
from pathlib import Path
from typing import Literal

from mlbuffet.archives import DAMAGED, Budget, check_names, opened, pieces
from mlbuffet.hookspecs import first_bytes

Kind = Literal["exported", "compiled", "script"]

_SUFFIXES = (".pt2", ".pt", ".pth", ".ts", ".torchscript")
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how torch.save began before it wrote zip files
_ZIP = b"PK\x03\x04"
_LIMIT = 2**44
_PROGRAM = "program = torch.export.export(model.eval(), (example,)); torch.export.save(program, 'model.pt2')"


def kind_of(path: Path) -> Kind | None:
    """What ``path`` is, by the names of its entries; ``None`` where it is no model, or under another name."""
    return _kind(_entries(path)) if path.suffix.lower() in _SUFFIXES else None


def unservable(path: Path) -> str | None:
    """Why ``path``, which is PyTorch's, cannot be served; ``None`` for models, and for what is not PyTorch's."""
    if not path.is_file() or kind_of(path):
        return None
    suffix, head, entries = path.suffix.lower(), first_bytes(path), _entries(path)
    if _kind(entries):
        return "it is a PyTorch model under another name: rename it so that it ends in .pt2 or .pt"
    if suffix not in (*_SUFFIXES, ".ckpt"):
        return None
    if head.startswith(_LEGACY) or "data.pkl" in entries:
        return (
            "it is a checkpoint (torch.save): weights, or a pickled module, which runs whatever code is in it; build "
            f"the model in Python, load its weights, and save it as a program: {_PROGRAM}"
        )
    if "" in entries and "serialized_exported_program.json" in _names(path):
        return (
            "it was saved by a version of PyTorch before 2.8; save it again with a newer one: "
            "torch.export.save(torch.export.load('old.pt2'), 'model.pt2')"
        )
    damaged = f"the {suffix} file is empty, cut short or damaged; copy it again, or save the model again"
    return damaged if not head or (head.startswith(_ZIP) and not entries) or suffix == ".pt2" else None


def check_whole(path: Path) -> None:
    """Raises `LoadFailed` where an entry of the zip file is not what was written: PyTorch itself does not look."""
    with opened(path) as archive:
        check_names(archive.infolist())  # PyTorch takes a name for another that differs in case only
        Budget(path.stat().st_size, _LIMIT).spend(sum(entry.file_size for entry in archive.infolist()))
        for entry in archive.infolist():
            for _ in pieces(archive, entry):
                pass


def _kind(entries: Set[str]) -> Kind | None:
    if "archive_format" in entries:
        folders = {entry.partition("/")[0] for entry in entries}
        if any(entry.startswith("data/aotinductor/") for entry in entries):
            return "compiled"
        return "exported" if "models" in folders else None
    return "script" if {"data.pkl", "constants.pkl"} <= entries else None


def _entries(path: Path) -> Set[str]:
    """The names in a zip file without the folder that all are in; none where it is no zip file, or damaged."""
    return {name.partition("/")[2] for name in _names(path)}


def _names(path: Path) -> list[str]:
    if not first_bytes(path).startswith(_ZIP):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except DAMAGED:
        return []
    # a file that was cut may end as a zip file that is in it does
    return [entry.filename for entry in entries] if any(entry.header_offset == 0 for entry in entries) else []

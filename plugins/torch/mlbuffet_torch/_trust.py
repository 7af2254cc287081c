"""What in a .pt2 file runs code of its maker when it is loaded."""

import json
import re
from io import BytesIO
from pathlib import Path

from torch.export.pt2_archive._package import PT2ArchiveReader

from mlbuffet.hookspecs import Risk
from mlbuffet_torch._file import Kind
from mlbuffet_torch._not_trusted import NotTrusted
from mlbuffet_torch._program import check_program
from mlbuffet_torch._torch import torch

_OPENS_FILES = re.compile(rb"\bfrom_file\b|\b(torch|aten)\s*\.\s*save\b")


def risks_of(path: Path, kind: Kind) -> list[Risk]:
    """The first thing for which it has to be trusted, if there is one."""
    try:
        check(path, kind)
    except NotTrusted as error:
        return [Risk(error.capability, error.problem)]
    return []


def check(path: Path, kind: Kind) -> None:
    """Raises `NotTrusted` where the file does more than compute."""
    (_check_script if kind == "script" else _check_without_code)(path)


def _check_without_code(path: Path) -> None:
    """Raises `NotTrusted` where there is machine code, a pickle of Python objects or other Python code in the file."""
    with path.open("rb") as file:
        reader = PT2ArchiveReader(file)  # zipfile may find other entries than PyTorch, in a file made for it
        for name in reader.get_file_names():
            if name.startswith("data/aotinductor/"):
                raise NotTrusted("it holds machine code, which may do whatever a program may")
            if _is_pickle(reader, name):
                raise NotTrusted("it holds a pickle of Python objects, which runs whatever code is in it")
            if name.startswith("models/"):
                check_program(json.loads(reader.read_string(name)))


def _check_script(path: Path) -> None:
    """Raises `NotTrusted` where a TorchScript file calls an operator of PyTorch that opens files.

    Its code is text in the file, and PyTorch itself reads nothing else as code.
    """
    reader = torch._C.PyTorchFileReader(str(path))
    for name in reader.get_all_records():
        if name.lower().endswith(".py") and _OPENS_FILES.search(reader.get_record(name)):
            raise NotTrusted("its code opens files (torch.from_file or torch.save)", "files")


def _is_pickle(reader: PT2ArchiveReader, name: str) -> bool:
    """Whether PyTorch would unpickle any object for an entry that lists weights, or holds tensors."""
    match name.lower():  # PyTorch finds entries in any case
        case entry if entry.startswith("data/") and entry.endswith("_config.json"):
            is_constants = entry.startswith("data/constants/")
            metas = json.loads(reader.read_string(name))["config"].values()
            return not all(_is_plain(meta["path_name"], meta["use_pickle"], is_constants) for meta in metas)
        case entry if entry.startswith("data/") and entry.endswith(".pt"):
            return _has_objects(reader.read_bytes(name))
    return False


def _is_plain(path_name: str, use_pickle: bool, is_constants: bool) -> bool:  # noqa: FBT001
    """Whether PyTorch reads an entry as numbers, or as an object of C++: of other constants it makes a pickle."""
    if is_constants and path_name.startswith("custom_obj_"):
        return True
    return not use_pickle and path_name.startswith("tensor_" if is_constants else "weight_")


def _has_objects(content: bytes) -> bool:
    try:
        if content:
            torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # noqa: BLE001 after any error PyTorch tries again, and unpickles everything
        return True
    return False

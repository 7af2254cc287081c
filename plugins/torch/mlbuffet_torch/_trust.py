"""What in a .pt2 file runs code of its maker when it is loaded."""

import json
import pickle
import zipfile
from io import BytesIO
from pathlib import Path

from mlbuffet.errors import LoadFailed
from mlbuffet_torch._torch import torch

_ADVICE = "if you trust its maker, set the option trust_code = true"


def check_without_code(path: Path) -> None:
    """Raises `LoadFailed` where there is machine code or a pickle of Python objects in the file."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            folder, _, entry = name.partition("/")[2].partition("/")
            if folder == "data" and entry.startswith("aotinductor/"):
                raise LoadFailed(f"it holds machine code, which may do whatever a program may; {_ADVICE}")
            if folder == "data" and entry.endswith(("_config.json", ".pt")) and _is_pickle(archive.read(name)):
                raise LoadFailed(f"it holds a pickle of Python objects, which runs whatever code is in it; {_ADVICE}")


def _is_pickle(content: bytes) -> bool:
    """Whether PyTorch would unpickle any object for an entry that lists weights, or holds tensors."""
    if content.startswith(b"{"):
        metas = json.loads(content)["config"].values()
        return any(meta["use_pickle"] and not meta["path_name"].startswith("custom_obj_") for meta in metas)
    try:
        torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except EOFError:  # there is nothing in it
        return False
    except pickle.UnpicklingError:
        return True
    return False

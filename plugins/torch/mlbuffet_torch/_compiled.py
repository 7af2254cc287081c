"""Models that AOTInductor has compiled."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from torch.utils import _pytree as pytree

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Signature, TensorSpec
from mlbuffet_torch._arrays import reader
from mlbuffet_torch._function import Argument, Function
from mlbuffet_torch._torch import torch
from mlbuffet_torch._trial import tried_outputs


def compiled_function(path: Path, declared: Mapping[str, TensorSpec], device: torch.device) -> Function:
    """The compiled model at ``path``, whose outputs are found by calling it.

    Raises `LoadFailed`, or an error of PyTorch.
    """
    name, compiled_for = _model_in(path)
    if compiled_for != device.type:
        raise LoadFailed(f"it was compiled for the device {compiled_for!r}; set the option device, or compile it again")
    if not declared:
        raise LoadFailed(
            "a compiled model does not say what it takes; give its tensors in their order in the option inputs, such "
            'as [{name = "x", dtype = "float32", shape = ["batch", 4]}] in [options] of model.toml'
        )
    index = -1 if device.index is None else device.index
    # torch._inductor.aoti_load_package is not used: it runs a C++ compiler, to learn what this processor can do
    is_for_one_thread, runners = False, 1
    loader = torch._C._aoti.AOTIModelPackageLoader(os.fspath(path), name, is_for_one_thread, runners, index)
    one_by_one = Lock()

    def compute(given: list[Any]) -> list[Any]:
        with one_by_one:  # PyTorch keeps the GIL while it computes, and in a second call it would wait for ever
            return list(loader.run(given))

    returned = pytree.treespec_loads(loader.get_call_spec()[1])
    read = reader(device, is_written=True)  # the model may do so, and wants memory that is aligned
    arguments = [Argument(one, read) for one in declared]
    specs = list(declared.values())
    outputs = tried_outputs(specs, arguments, lambda given: pytree.tree_unflatten(compute(given), returned))
    places = [place for place, spec in enumerate(outputs) if spec]
    return Function(Signature(specs, filter(None, outputs)), arguments, compute, places, concurrency=1)


def _model_in(path: Path) -> tuple[str, str]:
    """The name of the model in a package, and the device that it was compiled for. Raises `LoadFailed`."""
    with zipfile.ZipFile(path) as archive:
        entries = (name.partition("data/aotinductor/")[2] for name in archive.namelist())
        names = sorted({entry.partition("/")[0] for entry in entries if entry})
    if len(names) > 1:
        raise LoadFailed(f"it holds several compiled models, {', '.join(names)}; package each by itself")
    metadata = torch._C._aoti.AOTIModelPackageLoader.load_metadata_from_package(os.fspath(path), names[0])
    return names[0], metadata["AOTI_DEVICE_KEY"]

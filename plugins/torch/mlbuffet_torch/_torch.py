"""The module torch, imported with what has to be set before."""

import os
import warnings

import numpy as np

os.environ.setdefault("AOTI_RUNTIME_CHECK_INPUTS", "1")  # else compiled models read memory that is not theirs

import torch  # noqa: E402 it reads the environment

with warnings.catch_warnings():  # PyTorch warns once of arrays that cannot be written, which inputs often are
    warnings.simplefilter("ignore")
    torch.from_numpy(np.frombuffer(b"\0", np.uint8))

__all__ = ["torch"]

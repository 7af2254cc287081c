"""The module torch, imported with what has to be set before."""

import os
import warnings

import numpy as np
import torch

os.environ.setdefault("AOTI_RUNTIME_CHECK_INPUTS", "1")  # else compiled models may read memory that is not theirs

with warnings.catch_warnings():  # PyTorch warns once of arrays that cannot be written, which inputs often are
    warnings.simplefilter("ignore")
    torch.from_numpy(np.frombuffer(b"\0", np.uint8))

__all__ = ["torch"]

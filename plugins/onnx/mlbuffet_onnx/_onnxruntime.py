"""onnxruntime, imported with its telemetry switched off."""

import os

TELEMETRY = "ORT_DISABLE_TELEMETRY"

os.environ.setdefault(TELEMETRY, "1")  # it is read when the library is loaded

# ruff: noqa: E402 importing it first would start the telemetry
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

__all__ = ["native", "onnxruntime"]

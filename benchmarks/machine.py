"""The kind of machine that measured, without its name."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

SHOWN = ("mlbuffet", "onnxruntime", "tensorflow", "numpy", "starlette", "uvicorn", "grpcio")


def describe() -> dict[str, object]:
    """CPU, cores, Python, versions of what was measured, and the day."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in SHOWN},
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

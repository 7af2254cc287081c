"""Which file of an artifact holds the model, and whether it is one that OpenVINO reads."""

import re
from pathlib import Path

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import first_bytes

_NETWORK = re.compile(rb'\s*(?:<\?xml[^>]*>\s*)?<net\s[^>]*\bversion="(\d+)"')
_READ = (b"10", b"11")
"""The versions of the format that OpenVINO reads."""
_PREFERRED = ("model.xml", "openvino_model.xml")
_ONNX = re.compile(rb"\x08[\x01-\x7f]")
_TFLITE = re.compile(rb".{4}TFL3", re.DOTALL)
_CHOSEN = {".onnx": _ONNX, ".tflite": _TFLITE}
"""Models that OpenVINO reads as well, and that belong to other runtimes unless this one is chosen."""


def model_file(path: Path) -> Path | None:
    """The file that ``path`` is, or the one to take in the folder that it is: the only model, or one called so."""
    if not path.is_dir():
        return path
    models = [file for file in path.iterdir() if is_model(file)]
    if len(models) > 1:
        models = [file for file in models if file.name in _PREFERRED]
    return models[0] if len(models) == 1 else None


def is_model(path: Path) -> bool:
    """Whether ``path`` is a file in OpenVINO's format: XML whose root is a network."""
    return path.suffix.lower() == ".xml" and not unservable(path)


def checked_file(path: Path) -> Path:
    """The file to load. Raises `LoadFailed` for what does not begin as a model.

    OpenVINO would try each of its readers on that, which print their errors.
    """
    file = model_file(path)
    if file is None:
        raise LoadFailed("the folder must hold one .xml file of OpenVINO, or of several one called model.xml")
    if reason := unservable(file):
        raise LoadFailed(reason)
    return file


def unservable(path: Path) -> str | None:
    """Why the file at ``path`` cannot be loaded even if this runtime is chosen; ``None`` for what may be a model."""
    head, suffix = first_bytes(path), path.suffix.lower()
    if suffix in _CHOSEN:
        return None if _CHOSEN[suffix].match(head) else f"the {suffix} file is damaged or empty; copy it again"
    if not (match := _NETWORK.match(head)):
        return "it is no model of OpenVINO, which is a .xml file, with its weights in the .bin file beside it"
    if suffix != ".xml":
        return "it is an OpenVINO model under another name: rename it so that it ends in .xml"
    if match[1] not in _READ:
        return (
            f"it is in version {match[1].decode()} of OpenVINO's format, and versions 10 and 11 are read; convert the "
            "original model again with openvino.convert_model"
        )
    return None


def explanation(path: Path) -> str | None:
    """Why ``path``, which is OpenVINO's, cannot be served; ``None`` for models, and for what is not OpenVINO's."""
    return unservable(path) if _NETWORK.match(first_bytes(path)) else None

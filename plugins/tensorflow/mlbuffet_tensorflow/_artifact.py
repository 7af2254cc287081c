"""The kind of the artifact at a path, by names and magic bytes alone."""

import re
from collections.abc import Iterable
from enum import Enum, auto
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from mlbuffet.hookspecs import first_bytes

_BINARY_STARTS = (b"\x08", b"\x12")  # the tags of a SavedModel message's two fields: schema version, meta graphs
_TEXT_STARTS = (b"saved_model_schema_version", b"meta_graphs", b"#")
_SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
_BESIDE_THEM = {"variables", "assets", "assets.extra", "fingerprint.pb", "keras_metadata.pb"}
_CHECKPOINT_FILE = re.compile(
    r"checkpoint|.+\.(?:index|meta)|.+\.data-\d{5}-of-\d{5}|graph\.pbtxt|events\.out\.tfevents\..*"
)
_CHECKPOINT_DATA = re.compile(r".+\.data-\d{5}-of-\d{5}")
_NODE = re.compile(rb"\x0a[\x01-\xff][\x00-\x7f]?\x0a[\x01-\xff][\x00-\x7f]?[\w.>][\w.>\\/-]*\x12[\x01-\xff]_?[A-Z]\w*")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_SUFFIXES = (".h5", ".hdf5")
"""Keras looks at the case of letters too."""
_TFLITE = b"TFL3"
_OTHER_FORMATS = re.compile(rb"PK\x03\x04|\x89HDF|\x80[\x02-\x05]|.{4}[A-Z]{3}[A-Z0-9]", re.DOTALL)
"""A zip, HDF5, a pickle or FlatBuffers: another runtime may accept it."""
_KERAS_MARKS = (b"model_config", b"keras_version", b"layer_names")
_KERAS_3_WEIGHTS = (b"layers", b"vars")
_KERAS_FILES = {"config.json", "metadata.json"}
_HEADER_BYTES = 64 * 1024


class Kind(Enum):
    """What TensorFlow and Keras write; the second half can be recognized and explained, and not served."""

    SAVED_MODEL = auto()
    KERAS = auto()
    ARCHIVE = auto()
    WITHOUT_GRAPH = auto()
    FROZEN_GRAPH = auto()
    CHECKPOINT = auto()
    TFLITE = auto()
    ONE_FILE = auto()
    MISNAMED_KERAS = auto()
    MISNAMED_HDF5 = auto()
    DAMAGED = auto()
    DAMAGED_FILE = auto()


def kind_of(path: Path) -> Kind | None:
    """The kind of the file or folder ``path``; None for one that is not TensorFlow's. Raises `OSError`."""
    if path.is_dir():
        return _kind_of_folder(path)
    if not path.is_file():
        return None
    header = first_bytes(path, _HEADER_BYTES)
    if header[4:8] == _TFLITE:
        return Kind.TFLITE
    if _is_keras_hdf5(header):
        return Kind.KERAS if path.suffix in _HDF5_SUFFIXES else Kind.MISNAMED_HDF5
    if header.startswith(b"PK"):
        return _kind_of_zip(path)
    match path.suffix.lower():
        case ".keras" | ".h5" | ".hdf5" | ".tflite" if not _OTHER_FORMATS.match(header):
            return Kind.DAMAGED_FILE
        case ".pb" if _NODE.match(header):
            return Kind.FROZEN_GRAPH
        case ".pb" | ".pbtxt" if path.name in _SAVED_MODEL_FILES:
            return Kind.ONE_FILE
    return None


def kind_to_load(path: Path) -> Kind | None:
    """The kind of ``path`` where the caller names this runtime: a SavedModel may be damaged."""
    named_so = any((path / name).is_file() for name in _SAVED_MODEL_FILES)
    return Kind.SAVED_MODEL if named_so else kind_of(path)


def models_in(names: Iterable[str]) -> list[PurePosixPath]:
    """The models among the files of an archive: folders of SavedModels, and files of Keras."""
    files = [path for path in map(PurePosixPath, names) if not path.name.startswith("._")]  # macOS adds those
    folders = dict.fromkeys(path.parent for path in files if path.name in _SAVED_MODEL_FILES)
    return [*folders, *(path for path in files if path.suffix.lower() in (".keras", ".h5", ".hdf5"))]


def _kind_of_folder(folder: Path) -> Kind | None:
    if _starts(folder / "saved_model.pb", _BINARY_STARTS) or _starts(folder / "saved_model.pbtxt", _TEXT_STARTS):
        return Kind.SAVED_MODEL
    if any((folder / name).is_file() for name in _SAVED_MODEL_FILES):
        return Kind.DAMAGED
    names = {child.name for child in folder.iterdir() if not child.name.startswith(".")}
    if names <= _BESIDE_THEM and (folder / "variables" / "variables.index").is_file():
        return Kind.WITHOUT_GRAPH
    if all(map(_CHECKPOINT_FILE.fullmatch, names)) and any(map(_CHECKPOINT_DATA.fullmatch, names)):
        return Kind.CHECKPOINT
    return None


def _kind_of_zip(path: Path) -> Kind | None:
    try:
        with ZipFile(path) as archive:
            names = set(archive.namelist())
    except (BadZipFile, NotImplementedError):
        return Kind.DAMAGED_FILE if path.suffix.lower() == ".keras" else None
    if names >= _KERAS_FILES and any(name.startswith("model.weights") for name in names):
        return Kind.KERAS if path.suffix == ".keras" else Kind.MISNAMED_KERAS
    return Kind.ARCHIVE if path.suffix.lower() in (".keras", ".zip") and models_in(names) else None


def _is_keras_hdf5(header: bytes) -> bool:
    """Whether it begins as what Keras writes; HDF5 holds the data of many other programs."""
    if not header.startswith(_HDF5):
        return False
    return any(mark in header for mark in _KERAS_MARKS) or all(mark in header for mark in _KERAS_3_WEIGHTS)


def _starts(file: Path, starts: tuple[bytes, ...]) -> bool:
    return first_bytes(file, 64).lstrip(b" \t\r\n" if starts is _TEXT_STARTS else b"").startswith(starts)

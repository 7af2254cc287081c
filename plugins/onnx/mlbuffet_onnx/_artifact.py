"""Which file of an artifact holds the ONNX model."""

import re
from pathlib import Path

from mlbuffet.hookspecs import first_bytes
from mlbuffet_onnx._protobuf import BYTES, VARINT, Truncated, fields

SUFFIX = ".onnx"
PREFERRED = "model.onnx"

_IR_VERSION = 1
_GRAPH = 7
_HEADER_BYTES = 1024
_MODEL_FIELDS = {
    (_IR_VERSION, VARINT),
    (2, BYTES),  # producer_name
    (3, BYTES),  # producer_version
    (4, BYTES),  # domain
    (5, VARINT),  # model_version
    (6, BYTES),  # doc_string
    (_GRAPH, BYTES),
    (8, BYTES),  # opset_import
    (14, BYTES),  # metadata_props
    (20, BYTES),  # training_info
    (25, BYTES),  # functions
    (26, BYTES),  # configuration
}
_ORT_FORMAT = b"ORTM"
_OTHER_FORMATS = re.compile(rb"PK\x03\x04|\x89HDF|\x80[\x02-\x05]|.{4}[A-Z]{3}[A-Z0-9]", re.DOTALL)
"""A zip, HDF5, a pickle or FlatBuffers: another runtime may accept it."""
_NAMES = (2, 3, 4)
_NEWEST_IR_VERSION = 1000  # no limit of ours: the present one is 14, and anything much higher is noise


def model_file(path: Path) -> Path | None:
    """The file that ``path`` is, or the one to take in the folder that it is.

    Of a folder's several ``.onnx`` files that is ``model.onnx``, else none.
    """
    if not path.is_dir():
        return path
    models = [file for file in path.iterdir() if _is_named_so(file) and file.is_file()]
    if len(models) > 1:
        models = [file for file in models if file.name.lower() == PREFERRED]
    return models[0] if len(models) == 1 else None


def is_onnx(path: Path) -> bool:
    """Whether ``path`` is a file called ``*.onnx`` whose first bytes are those of an ONNX model."""
    return _is_named_so(path) and begins_as_model(first_bytes(path, _HEADER_BYTES))


def unservable(path: Path) -> str | None:
    """Why ``path`` is no model though its name or its first bytes say so; None for what is not ONNX's."""
    file = model_file(path)
    if file is None or not file.is_file():
        return None
    header = first_bytes(file, _HEADER_BYTES)
    if header[4:8] == _ORT_FORMAT:
        return (
            "it is in ORT format, which onnxruntime makes of an ONNX model for devices, and its signature cannot be "
            "read; serve the .onnx file that it was converted from"
        )
    if not _is_named_so(file):
        other = "it is an ONNX model under another name: rename it so that it ends in .onnx"
        return other if _fields_of(header) >= {_IR_VERSION, _GRAPH} else None
    if begins_as_model(header) or _OTHER_FORMATS.match(header):
        return None
    return (
        f"the .onnx file is {'damaged' if header else 'empty'}: it does not begin as an ONNX model does; copy it "
        "again, or export the model again"
    )


def begins_as_model(header: bytes) -> bool:
    """Whether ``header`` is the beginning of an ``onnx.ModelProto``: all fields that begin in it are fields of one."""
    return bool(_fields_of(header))


def _fields_of(header: bytes) -> set[int]:
    """The numbers of the fields that begin in ``header``; none where one of them is no field of a model."""
    seen: set[int] = set()
    try:
        for field in fields(header, 0, len(header)):
            if (field.number, field.wire_type) not in _MODEL_FIELDS:
                return set()
            if field.number == _IR_VERSION and not 0 < field.value < _NEWEST_IR_VERSION:
                return set()
            if field.number in _NAMES and field.end - field.start > _HEADER_BYTES:
                return set()
            seen.add(field.number)
    except Truncated:
        pass
    except ValueError:
        return set()
    return seen


def _is_named_so(path: Path) -> bool:
    return path.suffix.lower() == SUFFIX and not path.name.startswith(".")

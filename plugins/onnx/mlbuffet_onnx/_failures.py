"""Errors of onnxruntime as errors for users and for callers."""

import re

from mlbuffet.errors import InvalidInput, LoadFailed, reason_in
from mlbuffet.tensors import Tensors, shapes_text
from mlbuffet_onnx._onnxruntime import native, onnxruntime

ERRORS = (
    native.EPFail,
    native.EngineError,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoModel,
    native.NoSuchFile,
    native.NotImplemented,
    native.RuntimeException,
)
"""What onnxruntime raises; the classes share no base but ``Exception``."""

_THIS = f"onnxruntime {onnxruntime.__version__}"
_LOAD_REASONS = {
    r"Opset (?P<came>\d+) is under development.*for domain (?P<domain>\S+) is till opset (?P<newest>\d+)": (
        "it uses opset {shapes_text(inputs)} of {domain}, and {this} knows opsets up to {newest}; "
        "install a newer onnxruntime, or export the model for opset {newest}"
    ),
    r"Unsupported model IR version: (?P<came>\d+), max supported IR version: (?P<newest>\d+)": (
        "it is in version {shapes_text(inputs)} of the ONNX format, and {this} reads versions up to {newest}; "
        "install a newer onnxruntime, or save the model with an older onnx package"
    ),
    r"External data path does not exist|cannot get file size|External initializer: .* can not be read in full": (
        "a file with its weights is missing beside it, or cut short; put the .onnx file and the files of weights that "
        "were saved with it into one folder"
    ),
    r"External data path escapes model directory": (
        "it names a file with its weights that lies outside of its folder; "
        "put the weights into the folder and save the model with their new place"
    ),
    r"Protobuf parsing failed|No graph was found in the protobuf|ModelProto does not have a graph": (
        "it is damaged or cut short, so that no ONNX graph can be read from it; copy or export it again"
    ),
    r"(?:Could not find an implementation|Failed to find kernel) for (?P<operator>[^\s(]+)\((?P<version>\d+)\)": (
        "{this} has no implementation of the operator {operator} (version {version}) for the types of tensors it is "
        "used with; export the model with other types or operators, or name a provider that has it"
    ),
    r"No Op registered for (?P<operator>\S+) with domain_version of (?P<version>\d+)": (
        "there is no operator {operator} in opset {version}; export the model again, for the opset it was written for"
    ),
    r"No opset import for domain '(?P<domain>.*)'|Fatal error: (?P<operator>\S+)\(-?\d+\) is not a registered": (
        "it uses an operator that {this} does not bring; export the model with operators of the ONNX standard, or name "
        "the library that brings it with the option custom_op_libraries (in the table [options] of its model.toml, "
        "with --option, or options=)"
    ),
    r"MLDataType for: (?P<type>.*) is not currently registered": (
        "it has a {type}, a type that {this} cannot hold; export it with another"
    ),
    r"Failed to construct locale with name:(?P<locale>\S+?)(?::|$)": (
        "it compares text by the rules of the locale {locale}, which this machine does not have; install it "
        "(apt-get install locales; locale-gen {locale} on Debian), or export the model with another locale"
    ),
    r"INVALID_GRAPH|Invalid model": (
        "its graph breaks the rules of ONNX; check it with onnx.checker and export it again"
    ),
}  # fmt: skip


def load_failure(error: Exception) -> LoadFailed | None:
    """``error`` of creating a session as a `LoadFailed` that says what to do, unless its text is unknown."""
    text = str(error).strip()
    reason = reason_in(text, _LOAD_REASONS, this=_THIS)
    return LoadFailed(reason, detail=text) if reason else None


def run_failure(error: Exception, inputs: Tensors) -> InvalidInput | None:
    """``error`` of a run as an `InvalidInput`, if it is certainly due to the inputs.

    An operator calls an argument invalid: an index out of range, sizes that do not go together.
    """
    match = re.search(r"while running (\w+) node", str(error))
    if not (isinstance(error, native.InvalidArgument) and match):
        return None
    return InvalidInput(
        f"the model's operator {match[1]} cannot take what comes of the inputs {shapes_text(inputs)}; "
        "a value is out of its range, or sizes do not go together",
        detail=str(error),
    )

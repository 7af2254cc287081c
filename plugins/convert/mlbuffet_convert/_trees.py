"""What models of trees have in common when they are converted."""

from onnxmltools.convert.common.data_types import FloatTensorType

from mlbuffet.converting import Source
from mlbuffet.errors import ConversionFailed
from mlbuffet.tensors import DEFAULT_SIGNATURE


def matrix_type(source: Source) -> list[tuple[str, FloatTensorType]]:
    """The one input of a model whose features are numbers, as onnxmltools wants it. Raises `ConversionFailed`."""
    if source.name != DEFAULT_SIGNATURE:
        raise ConversionFailed(
            f"its signature {source.name!r} has no counterpart in ONNX; convert {DEFAULT_SIGNATURE!r}"
        )
    if list(source.signature.inputs) != ["features"]:
        raise ConversionFailed("it has categories with names, which its converter does not know; serve it as it is")
    _, columns = source.signature.inputs["features"].sizes or (None, None)
    return [("features", FloatTensorType([None, columns]))]

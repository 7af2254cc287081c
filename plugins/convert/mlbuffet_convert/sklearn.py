"""Estimators and pipelines of scikit-learn as ONNX."""

from typing import Any

from skl2onnx import convert_sklearn
from skl2onnx.common import data_types
from skops.io import load

from mlbuffet.converting import Source
from mlbuffet.tensors import TensorSpec
from mlbuffet_convert._graph import fitted

_TYPES = {
    "f": data_types.FloatTensorType,
    "i": data_types.Int64TensorType,
    "u": data_types.Int64TensorType,
    "b": data_types.BooleanTensorType,
    "O": data_types.StringTensorType,
}


def convert(source: Source) -> bytes:
    """What `predict`, `predict_proba` and `transform` give."""
    estimator = load(source.path, trusted=source.options.get("trusted", []))
    types = [(spec.name, _type(spec)) for spec in source.signature.inputs.values()]
    no_maps = {id(estimator): {"zipmap": False}} if "probabilities" in source.signature.outputs else None
    model = convert_sklearn(estimator, initial_types=types, options=no_maps, target_opset=source.opset)
    return fitted(model, source)


def _type(spec: TensorSpec) -> Any:
    columns = spec.sizes[1:] if spec.sizes else ()
    return _TYPES[spec.dtype.kind]([None, *(columns or (1,))])

"""Models of LightGBM as ONNX."""

from lightgbm import Booster
from onnxmltools import convert_lightgbm

from mlbuffet.converting import Source
from mlbuffet_convert._graph import fitted
from mlbuffet_convert._trees import matrix_type


def convert(source: Source) -> bytes:
    """The predictions of the model."""
    booster, types = Booster(model_file=source.path), matrix_type(source)
    return fitted(convert_lightgbm(booster, initial_types=types, zipmap=False, target_opset=source.opset), source)

"""Models of XGBoost as ONNX."""

from onnxmltools import convert_xgboost
from xgboost import Booster

from mlbuffet.converting import Source
from mlbuffet_convert._graph import fitted
from mlbuffet_convert._trees import matrix_type


def convert(source: Source) -> bytes:
    """The predictions of the model, with the trees that it predicts with."""
    types = matrix_type(source)
    booster = Booster(model_file=source.path)
    booster.feature_names = None  # the converter takes no others than f0, f1 and so on
    best = booster.attr("best_iteration")
    used = booster if best is None else booster[: int(best) + 1]
    return fitted(convert_xgboost(used, initial_types=types, target_opset=source.opset), source)

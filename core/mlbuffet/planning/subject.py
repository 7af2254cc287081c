"""A model with the inputs that it is measured with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlbuffet.comparison import random_inputs
from mlbuffet.errors import InvalidInput, LoadFailed, PredictFailed
from mlbuffet.model import Model
from mlbuffet.scheduling.independence import check_rows_independent
from mlbuffet.tensors import Tensors


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The default signature of a model, and a call of it."""

    model: Model
    signature: str
    inputs: Tensors
    """Of one row, where calls can share a batch."""
    samples: Mapping[str, Any] | None
    """What was given for its inputs."""
    unbatched: str
    """Why calls cannot share a batch; empty where they can."""

    @classmethod
    def of(cls, model: Model, samples: Mapping[str, Any] | None) -> "Subject":
        """Inputs are ``samples``, else random. Raises `LoadFailed` where the model cannot be called with them."""
        name = model.signatures.resolve(None)
        declared = model.signatures[name]
        try:
            arrays = declared.check_inputs(samples) if samples else random_inputs(declared, seed=0)
            unbatched = _why_unbatched(model, name, samples)
            one = arrays if unbatched else {key: array[:1] for key, array in arrays.items()}
            model.predict(one, signature=name)
        except (InvalidInput, PredictFailed) as error:
            problem = f"it cannot be measured with random inputs: {error.public}; give some as 'inputs' of [warmup] in"
            raise LoadFailed(f"{problem} its model.toml", path=model.path, runtime=model.runtime.name) from error
        return cls(model=model, signature=name, inputs=one, samples=samples, unbatched=unbatched)


def _why_unbatched(model: Model, name: str, samples: Mapping[str, Any] | None) -> str:
    try:
        check_rows_independent(model, name, model.signatures[name], samples)
    except LoadFailed as error:
        return error.reason.rpartition("cannot be batched: ")[2]
    return ""

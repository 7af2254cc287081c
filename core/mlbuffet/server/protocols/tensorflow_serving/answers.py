"""The JSON of answers."""

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

Numeral = Annotated[str, Meta(description="A whole number, as text.")]


class PredictAnswer(TypedDict, total=False):
    """`predictions` for a request in rows, `outputs` for one in columns.

    Values without names where the model has one output, otherwise objects by name.
    """

    predictions: list[Any]
    outputs: Any


class ClassifyAnswer(TypedDict):
    """For each example its classes, each a label and a score."""

    results: list[list[list[Any]]]


class RegressAnswer(TypedDict):
    """For each example its value."""

    results: list[Any]


class Status(TypedDict):
    """Why a version is in its state."""

    error_code: str
    error_message: str


class VersionStatus(TypedDict):
    """The state of a version."""

    version: Numeral
    state: Literal["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
    status: Status


class ModelStatus(TypedDict):
    """The states of versions."""

    model_version_status: list[VersionStatus]


class Dimension(TypedDict):
    """A dimension; -1 is any size."""

    size: Numeral
    name: Annotated[str, Meta(description="Dimensions of one name have one size in a call; empty for no name.")]


class TensorShape(TypedDict):
    """The dimensions of a tensor, if its rank is known."""

    dim: list[Dimension]
    unknown_rank: bool


class TensorInfo(TypedDict):
    """An input or an output of a signature."""

    dtype: Annotated[str, Meta(examples=["DT_FLOAT"])]
    tensor_shape: TensorShape
    name: str


class SignatureDef(TypedDict):
    """A signature of a model."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    method_name: str
    defaults: dict[str, Any]


class SignatureDefs(TypedDict):
    """The signatures of a model by name."""

    signature_def: dict[str, SignatureDef]


class Metadata(TypedDict):
    """What is known of a model: its signatures."""

    signature_def: SignatureDefs


class ModelSpec(TypedDict):
    """Which version of which model answered."""

    name: str
    signature_name: str
    version: Numeral


class ServingMetadata(TypedDict):
    """The metadata of one version."""

    model_spec: ModelSpec
    metadata: Metadata

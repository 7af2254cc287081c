"""The JSON of answers."""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

from mlbuffet.inference import ReportedState
from mlbuffet.server.protocols.open_inference.datatypes import DATATYPE_SCHEMA
from mlbuffet.server.protocols.open_inference.statistics import ModelStatistics

Dimensions = Annotated[Sequence[int], Meta(description="-1 is a dimension of any size; [-1] alone is any shape too.")]


class ServerMetadata(TypedDict):
    """What the server is, and which extensions of the protocol it has."""

    name: str
    version: str
    extensions: list[str]


class Live(TypedDict):
    """The server answers."""

    live: bool


class Ready(TypedDict):
    """The loading of every model was attempted."""

    ready: bool
    live: bool


class ModelReady(TypedDict):
    """The model answers."""

    name: str
    ready: bool


class ModelNames(TypedDict):
    """All models."""

    models: list[str]


class TensorParameters(TypedDict):
    """What the protocol has no member for, of a tensor that has it."""

    dimensions: NotRequired[
        Annotated[str, Meta(description="JSON: the shape with the names of its dimensions; null is any size.")]
    ]
    optional: NotRequired[Annotated[bool, Meta(description="Whether the input may be left out.")]]
    labels: NotRequired[Annotated[str, Meta(description="JSON: the names of the classes along the last axis.")]]
    description: NotRequired[str]


class TensorMetadata(TypedDict):
    """An input or an output of a signature."""

    name: str
    datatype: Annotated[str, Meta(description="One of the protocol's, or numpy's name for what it lacks.")]
    shape: Dimensions
    parameters: NotRequired[TensorParameters]


class Properties(TypedDict):
    """What the protocol has no member for."""

    signatures: Annotated[str, Meta(description="JSON: every signature by name, with method, inputs and outputs.")]
    default_signature: NotRequired[str]
    parameters: NotRequired[
        Annotated[str, Meta(description="JSON: what a request may set of the default signature, by name.")]
    ]
    description: NotRequired[Annotated[str, Meta(description="Of the default signature.")]]
    unsupported: NotRequired[
        Annotated[str, Meta(description="Which tensors have a dtype that cannot be sent, such as complex64.")]
    ]


class ModelMetadata(TypedDict):
    """A model; inputs and outputs are those of its default signature, and none where it has no default."""

    name: str
    versions: Annotated[list[str], Meta(description="Those that are ready.")]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: Properties


class Reshape(TypedDict):
    """The shape that a row has in truth."""

    shape: Sequence[int]


class ConfigTensor(TypedDict):
    """An input or an output, as Triton's configuration has it."""

    name: str
    data_type: Annotated[str, Meta(examples=["TYPE_FP32"])]
    dims: Dimensions
    optional: NotRequired[Annotated[bool, Meta(description="Whether the input may be left out.")]]
    reshape: NotRequired[Annotated[Reshape, Meta(description="Where a row is a scalar.")]]


class DynamicBatching(TypedDict):
    """How requests share a run of the model."""

    preferred_batch_size: list[int]
    max_queue_delay_microseconds: int


class ModelConfig(TypedDict):
    """The configuration of a model, as Triton's clients read it."""

    name: str
    platform: str
    backend: str
    max_batch_size: Annotated[
        int, Meta(description="0: shapes are whole; else they lack the first axis, that of the rows.")
    ]
    input: list[ConfigTensor]
    output: list[ConfigTensor]
    dynamic_batching: NotRequired[DynamicBatching]


class Statistics(TypedDict):
    """The counts of versions."""

    model_stats: list[ModelStatistics]


class IndexEntry(TypedDict):
    """A version of a model and its state."""

    name: str
    version: str
    state: ReportedState
    reason: NotRequired[str]


class Changed(TypedDict):
    """Nothing: the change is made."""


class OutputParameters(TypedDict):
    """Of an output that travels as a raw buffer."""

    binary_data_size: Annotated[int, Meta(description="Bytes.")]


class ResponseOutput(TypedDict):
    """One tensor of an answer."""

    name: str
    datatype: Annotated[str, DATATYPE_SCHEMA]
    shape: Sequence[int]
    parameters: NotRequired[OutputParameters]
    data: NotRequired[
        Annotated[Any, Meta(description="Flat, in row-major order.", extra_json_schema={"type": "array"})]
    ]


class AnswerParameters(TypedDict):
    """Of an answer without some of the outputs, which were not asked for by name."""

    omitted: Annotated[str, Meta(description="Which are left out, and why.")]


class InferAnswer(TypedDict):
    """The outputs of a model; numbers that are not finite are the bare tokens `NaN`, `Infinity` and `-Infinity`."""

    model_name: str
    model_version: str
    id: NotRequired[str]
    parameters: NotRequired[AnswerParameters]
    outputs: list[ResponseOutput]

"""Signatures as JSON."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

from mlbuffet.conversion import dtype_name
from mlbuffet.parameters import described_parameters
from mlbuffet.tensors import Signature, Signatures, TensorSpec


class TensorDescription(TypedDict):
    """An input or an output of a signature."""

    name: str
    dtype: str
    shape: Annotated[
        Sequence[int | str | None] | None,
        Meta(description="Sizes and names of dimensions; null is any size, and instead of a list any rank."),
    ]
    optional: NotRequired[Annotated[bool, Meta(description="Whether the input may be left out.")]]
    labels: NotRequired[Annotated[Sequence[str], Meta(description="The names of the classes along the last axis.")]]
    description: NotRequired[str]


class VariantDescription(TypedDict):
    """The inputs and outputs of a function for certain dtypes."""

    inputs: list[TensorDescription]
    outputs: list[TensorDescription]


class SignatureDescription(VariantDescription):
    """One function of a model."""

    method: str
    description: NotRequired[str]
    parameters: NotRequired[
        Annotated[dict[str, dict[str, Any]], Meta(description="What a request may set besides the inputs, by name.")]
    ]
    variants: NotRequired[list[VariantDescription]]


def described(signatures: Signatures) -> dict[str, SignatureDescription]:
    """All signatures by name; what a tensor or a signature does not have is left out."""
    return {name: _signature(signature) for name, signature in signatures.items()}


def _signature(signature: Signature) -> SignatureDescription:
    sides = _variant(signature)
    description = SignatureDescription(method=signature.method, inputs=sides["inputs"], outputs=sides["outputs"])
    if signature.description:
        description["description"] = signature.description
    if signature.parameters:
        description["parameters"] = described_parameters(signature.parameters)
    if signature.variants:
        description["variants"] = [_variant(variant) for variant in signature.variants]
    return description


def _variant(signature: Signature) -> VariantDescription:
    return {"inputs": _tensors(signature.inputs), "outputs": _tensors(signature.outputs)}


def _tensors(specs: Mapping[str, TensorSpec]) -> list[TensorDescription]:
    return [_tensor(spec) for spec in specs.values()]


def _tensor(spec: TensorSpec) -> TensorDescription:
    description = TensorDescription(name=spec.name, dtype=dtype_name(spec.dtype), shape=spec.shape)
    if spec.optional:
        description["optional"] = True
    if spec.labels:
        description["labels"] = spec.labels
    if spec.description:
        description["description"] = spec.description
    return description

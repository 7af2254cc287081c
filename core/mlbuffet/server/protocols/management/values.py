"""The values of a prediction, in JSON: those of the only input or output, or all by name."""

from typing import Any

import msgspec
import orjson

from mlbuffet.errors import InvalidInput
from mlbuffet.json_tensors.text import decode, encode_array
from mlbuffet.server.protocols.management.answers import status
from mlbuffet.tensors import Signature, Signatures, Tensors, TensorSpec


class PredictionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What is predicted from."""

    values: Any


def default_signature(signatures: Signatures) -> Signature:
    """The signature that answers. Raises `UnknownSignature` where there is no default."""
    return signatures[signatures.resolve(None)]


def decode_values(body: bytes, signature: Signature) -> Tensors:
    """The inputs by name. Raises `InvalidInput`."""
    values = decode(body, PredictionRequest).values
    _, inputs = signature.first_that(lambda variant: variant.check_inputs(_by_name(values, variant)))
    return inputs


def _by_name(values: Any, signature: Signature) -> dict[str, Any]:
    specs = signature.inputs
    if isinstance(values, dict):
        return {name: _batched(value, specs[name]) if name in specs else value for name, value in values.items()}
    if len(specs) != 1:
        names = ", ".join(map(repr, specs))
        raise InvalidInput(f"the model has {len(specs)} inputs: give 'values' as an object with {names or 'nothing'}")
    (spec,) = specs.values()
    return {spec.name: _batched(values, spec)}


def encode_values(outputs: Tensors) -> bytes:
    """The answer. Raises `InvalidInput` for what JSON cannot hold."""
    texts = {name: orjson.Fragment(_encoded(name, outputs)) for name in outputs}
    values = next(iter(texts.values())) if len(texts) == 1 else texts
    return orjson.dumps({"http_status": status(200, "the model's prediction"), "values": values})


def _encoded(name: str, outputs: Tensors) -> bytes:
    try:
        return encode_array(outputs[name])
    except UnicodeDecodeError:
        raise InvalidInput(f"output {name!r} holds bytes that are not UTF-8, which JSON cannot hold; ask /v2") from None


def _batched(value: Any, spec: TensorSpec) -> Any:
    """``value`` as a batch of one, where it has exactly one dimension less than the model takes."""
    return [value] if spec.shape is not None and _rank(value) == len(spec.shape) - 1 else value


def _rank(value: Any) -> int:
    rank = 0
    while isinstance(value, list):
        rank += 1
        value = value[0] if value else None
    return rank

"""Signatures as plain data for another process, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlbuffet.isolation.messages import dtype_code, dtype_of
from mlbuffet.parameters import ParameterSpec
from mlbuffet.tensors import Signature, Signatures, TensorSpec

_KINDS = {kind.__name__: kind for kind in (float, int, bool, str)}


def sent(signatures: Signatures) -> dict[str, Any]:
    """``signatures`` as values that msgpack has."""
    return {
        "signatures": [[name, _sent_signature(one)] for name, one in signatures.items()],
        "default": signatures.default,
        "reason": signatures.default_reason,
    }


def received(given: Mapping[str, Any]) -> Signatures:
    """The signatures that were sent. Raises ``ValueError``, ``TypeError`` or ``LookupError`` for what are none."""
    by_name = {name: _signature(one) for name, one in given["signatures"]}
    return Signatures(by_name, default=given["default"], default_reason=given["reason"])


def _sent_signature(signature: Signature) -> dict[str, Any]:
    return {
        "inputs": [_sent_spec(one) for one in signature.inputs.values()],
        "outputs": [_sent_spec(one) for one in signature.outputs.values()],
        "method": signature.method,
        "variants": [_sent_signature(one) for one in signature.variants],
        "parameters": [[name, _sent_parameter(one)] for name, one in signature.parameters.items()],
        "description": signature.description,
    }


def _signature(given: Mapping[str, Any]) -> Signature:
    if given["variants"]:
        return Signature.of_variants(map(_signature, given["variants"]))
    return Signature(
        map(_spec, given["inputs"]),
        map(_spec, given["outputs"]),
        given["method"],
        parameters={name: _parameter(one) for name, one in given["parameters"]},
        description=given["description"],
    )


def _sent_spec(spec: TensorSpec) -> list[Any]:
    code = dtype_code(spec.dtype)
    return [spec.name, code, spec.shape, spec.optional, spec.labels, spec.description, spec.wire_name]


def _spec(given: list[Any]) -> TensorSpec:
    name, code, shape, optional, labels, description, wire_name = given
    dtype = dtype_of(code) or np.dtype(object)
    return TensorSpec(
        name, dtype, shape, optional=optional, labels=labels, description=description, wire_name=wire_name
    )


def _sent_parameter(spec: ParameterSpec) -> list[Any]:
    return [spec.kind.__name__, spec.default, spec.minimum, spec.maximum, spec.choices, spec.description]


def _parameter(given: list[Any]) -> ParameterSpec:
    kind, default, minimum, maximum, choices, description = given
    return ParameterSpec(
        _KINDS[kind], default=default, minimum=minimum, maximum=maximum, choices=tuple(choices), description=description
    )

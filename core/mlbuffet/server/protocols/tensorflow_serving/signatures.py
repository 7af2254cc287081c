"""The signature that a request names."""

from typing import Any

from msgspec import UNSET

from mlbuffet.errors import InvalidInput, UnknownSignature
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signatures


def named_signature(name: Any, signatures: Signatures) -> str:
    """The signature called ``name``, the default if that is not set, null or empty; else `InvalidInput`."""
    if name is UNSET or name == "":
        name = None
    elif name is not None and not isinstance(name, str):
        raise InvalidInput("'signature_name' key must be a string value.")
    try:
        return signatures.resolve(name)
    except UnknownSignature as error:
        asked = DEFAULT_SIGNATURE if name is None else name
        raise InvalidInput(f'Serving signature name: "{asked}" not found in signature def: {error}') from None

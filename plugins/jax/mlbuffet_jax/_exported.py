"""The exported function in a file, and the device that it runs on."""

import struct
from collections.abc import Sequence
from contextlib import suppress

import jax
from jax.export import Exported, deserialize

from mlbuffet.errors import InvalidOptions, LoadFailed
from mlbuffet.tensors import Signature
from mlbuffet_jax._signature import signature_of

_DAMAGE = (
    *(struct.error, LookupError, ValueError, TypeError, AttributeError, OverflowError, RuntimeError),
    *(AssertionError, StopIteration),
)
"""What JAX raises for a file that is not whole, which it does not look over before it reads it."""


def read(content: bytes) -> tuple[Exported, Signature]:
    """The function in ``content`` and its signature, or `LoadFailed`."""
    try:
        exported = deserialize(bytearray(content))
        signature = signature_of(exported)
    except _DAMAGE as error:
        reason = "the file is cut short or damaged, or a newer JAX than the one here has written it"
        if "unregistered type" in str(error):
            reason = "its arguments or results are objects of a class; export a function of dicts, lists and tuples"
        raise LoadFailed(reason, detail=str(error)) from error
    if exported.nr_devices > 1:
        raise LoadFailed(f"it was exported for {exported.nr_devices} devices at once; export it for one")
    return exported, signature


def device_for(platforms: Sequence[str], wanted: str) -> jax.Device:
    """The device that is ``wanted``, or the first of one of the ``platforms``. `InvalidOptions` or `LoadFailed`."""
    for name in [wanted] if wanted else platforms:
        platform, _, number = name.partition(":")
        with suppress(RuntimeError, IndexError):
            return _checked(jax.devices(platform)[int(number or 0)], platforms)
    here = ", ".join(f"{device.platform}:{device.id}" for device in jax.devices())
    if wanted:
        raise InvalidOptions(f"there is no device {wanted!r}; here are {here}")
    reason = (
        f"it was exported for {', '.join(platforms)}, and here are {here}; export it with platforms=['cpu', 'cuda']"
    )
    raise LoadFailed(f"{reason}, or those of the machine that serves it")


def _checked(device: jax.Device, platforms: Sequence[str]) -> jax.Device:
    if device.platform not in {"gpu" if name in ("cuda", "rocm") else name for name in platforms}:
        raise InvalidOptions(f"it was exported for {', '.join(platforms)}, and cannot run on {device.platform}")
    return device

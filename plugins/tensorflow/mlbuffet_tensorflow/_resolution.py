"""Which signature answers a call that names none, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mlbuffet.errors import InvalidOptions
from mlbuffet.tensors import DEFAULT_SIGNATURE

CALL = "__call__"
UNTRACED = "it was never called, or its arguments could not be saved, so that the file holds nothing of it"


@dataclass(frozen=True)
class Offered:
    """What a file offers: the names that can be served, and what is known of how they came about."""

    names: tuple[str, ...]
    requested: str | None = None
    """The option ``signature``."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Signatures or functions of the file that cannot be served, each with its reason."""
    functions: tuple[str, ...] = ()
    """The tf.functions that became the signatures, in a file that has none."""


class Default(NamedTuple):
    """The signature that answers, or none, and the reason."""

    name: str | None
    reason: str


def default_of(offered: Offered) -> Default:
    """The word of the first rule that has one. Raises `InvalidOptions` where the option names what is not there."""
    for rule in (_option, _serving_default, _only_signature, _function):
        if found := rule(offered):
            return found
    return Default(None, _several(offered))


def _option(offered: Offered) -> Default | None:
    if offered.requested is None:
        return None
    if reason := offered.left_out.get(offered.requested):
        raise InvalidOptions(f"the signature {offered.requested!r} cannot be served: {reason}")
    if offered.requested not in offered.names:
        raise InvalidOptions(f"there is no signature {offered.requested!r}; the model has: {', '.join(offered.names)}")
    return Default(offered.requested, "the option signature names it")


def _serving_default(offered: Offered) -> Default | None:
    if left_out := _left_out(offered, DEFAULT_SIGNATURE):
        return left_out
    if DEFAULT_SIGNATURE not in offered.names:
        return None
    return Default(DEFAULT_SIGNATURE, "its name says so")


def _only_signature(offered: Offered) -> Default | None:
    if offered.functions or len(offered.names) != 1:
        return None
    return Default(offered.names[0], f"it is the only signature of the file{_servable(offered)}")


def _function(offered: Offered) -> Default | None:
    """Of a file without signatures."""
    if left_out := _left_out(offered, CALL):
        return left_out
    if CALL in offered.functions and CALL in offered.names:
        return Default(
            CALL, f"the file has no signatures, and of its functions {CALL!r} is what calling the model runs"
        )
    if len(offered.functions) == 1 and offered.functions == offered.names:
        reason = f"the file has no signatures, and this is its only function{_servable(offered)}"
        return Default(offered.names[0], reason)
    return None


def _left_out(offered: Offered, name: str) -> Default | None:
    """What would be the default and cannot be served has no stand-in: another function would answer in its name."""
    reason = offered.left_out.get(name)
    known = reason is not None and reason != UNTRACED  # then it never was what calling the model runs
    return Default(None, f"{name!r} cannot be served: {reason}") if known else None


def _servable(offered: Offered) -> str:
    return " that can be served" if offered.left_out else ""


def _several(offered: Offered) -> str:
    if not offered.functions:
        return (
            f"the file has several signatures and none is called {DEFAULT_SIGNATURE!r}; save it with "
            f'signatures={{"{DEFAULT_SIGNATURE}": ...}}, set the option signature, or let each call name one'
        )
    what = (
        "several functions"
        if len(offered.functions) > 1
        else "one function, traced in forms that inputs do not tell apart"
    )
    return (
        f"the file has no signatures and {what}; save it with tf.saved_model.save(model, path, "
        f'signatures={{"{DEFAULT_SIGNATURE}": model.{offered.functions[0]}}}), set the option signature, or let each '
        "call name one"
    )

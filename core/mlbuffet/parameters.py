"""The parameters that a signature declares, and the check of those that a call gives."""

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from mlbuffet.errors import InvalidInput

Parameter: TypeAlias = float | int | bool | str
"""The value of a parameter."""

_RESERVED = frozenset(
    {
        "signature_name",
        "binary_data_output",
        "sequence_id",
        "sequence_start",
        "sequence_end",
        "priority",
        "timeout",
        "headers",
        "content_type",
    }
)
_RESERVED_PREFIX = "triton_"
_KINDS = {float: "a float", int: "an int", bool: "true or false", str: "text"}
_INT64 = range(-(2**63), 2**63)

NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})


def is_reserved(name: str) -> bool:
    """Whether requests have a parameter called ``name`` that is not for the model, which never sees it.

    Clients of the Open Inference Protocol send these by themselves: Triton's extensions (sequences, schedule policy,
    binary tensors, parameters), MLServer's ``content_type``, and MLBuffet's ``signature_name``.
    """
    return name in _RESERVED or name.startswith(_RESERVED_PREFIX)


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A parameter of a signature: a ``float``, ``int``, ``bool`` or ``str``, and which values it may have.

    A call that does not give it gets its ``default``; where that is ``None``, `Request.parameters` lacks it then.
    ``minimum`` and ``maximum`` are allowed values themselves.
    """

    kind: type[Parameter]
    default: Parameter | None
    minimum: float | None
    maximum: float | None
    choices: tuple[Parameter, ...]
    """The only values; empty where there are others."""
    description: str

    def __init__(
        self,
        kind: type[Parameter],
        *,
        default: Parameter | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
        choices: Iterable[Parameter] = (),
        description: str = "",
    ) -> None:
        if kind not in _KINDS:
            raise ValueError(f"a parameter is float, int, bool or str, not {kind!r}")
        if kind not in (float, int) and (minimum, maximum) != (None, None):
            raise ValueError(f"a parameter that is {_KINDS[kind]} has no minimum and no maximum")
        if isinstance(choices, str):
            raise TypeError(f"the choices of a parameter are a list of values, not the text {choices!r}")
        allowed = tuple(choices)
        if not allowed and choices != ():  # the field itself is () where there are none
            raise ValueError("the choices of a parameter are empty, so that it could have no value; leave them out")
        _check_bounds(minimum, maximum)
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "minimum", minimum)
        object.__setattr__(self, "maximum", maximum)
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "choices", ())
        object.__setattr__(self, "choices", tuple(self._declared("choice", choice) for choice in allowed))
        object.__setattr__(self, "default", None if default is None else self._declared("default", default))

    def __str__(self) -> str:
        """What it takes, for a message: ``a float from 0 to 2``."""
        if self.choices:
            return "one of " + ", ".join(map(_shown, self.choices))
        text = _KINDS[self.kind]
        if self.minimum is not None:
            text += f" from {self.minimum:g}"
        if self.maximum is not None:
            text += f" {'up ' * (self.minimum is None)}to {self.maximum:g}"
        return text

    def check(self, name: str, value: Any) -> Parameter:
        """``value`` as this parameter, called ``name``, takes it. Raises `InvalidInput`.

        Nothing is coerced but an int for a float. NaN and infinities are no values.
        """
        exact = value.item() if isinstance(value, np.generic) else value
        if self.kind is float and type(exact) is int and exact in _INT64:
            exact = float(exact)
        if type(exact) is not self.kind or not self._allows(exact):
            raise InvalidInput(f"parameter {name!r} is {_shown(value)}; the model takes {self}")
        return exact

    def described(self) -> dict[str, Any]:
        """The declaration as JSON, without what it leaves open."""
        facts = {
            "default": self.default,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "choices": list(self.choices) or None,
            "description": self.description or None,
        }
        return {"type": self.kind.__name__, **{name: fact for name, fact in facts.items() if fact is not None}}

    def _allows(self, value: Any) -> bool:
        if self.choices and value not in self.choices:
            return False
        if self.kind is float and not math.isfinite(value):
            return False
        if self.kind is int and value not in _INT64:
            return False
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)

    def _declared(self, what: str, value: Any) -> Parameter:
        try:
            return self.check(what, value)
        except InvalidInput:
            raise ValueError(f"the {what} of a parameter is {value!r}, which is not {self}") from None


def declared_parameters(parameters: Mapping[str, ParameterSpec]) -> Mapping[str, ParameterSpec]:
    """``parameters`` as a signature keeps them. Raises ``ValueError`` for a name that is not a parameter's."""
    if not isinstance(parameters, Mapping):
        raise TypeError(
            f"parameters are ParameterSpecs by name, such as {{'top': ParameterSpec(int)}}, not {parameters!r}"
        )
    for name, spec in parameters.items():
        if not isinstance(spec, ParameterSpec):
            raise TypeError(f"parameter {name!r} is declared as {spec!r}; declare it as a ParameterSpec")
        if type(name) is not str or not name:
            raise ValueError(f"a parameter cannot be called {name!r}: its name is text, and not empty")
        if is_reserved(name):
            raise ValueError(f"a parameter cannot be called {name!r}: requests use that name themselves")
    return MappingProxyType(dict(parameters)) if parameters else NO_PARAMETERS


def checked_parameters(
    declared: Mapping[str, ParameterSpec], given: Mapping[str, Any] | None
) -> Mapping[str, Parameter]:
    """The parameters of a call in declared order, with defaults for those that were not given, or were ``None``.

    Names that requests use themselves are passed over. Raises `InvalidInput` for a wrong value, and for one that is not
    declared.
    """
    if given:
        for name in given:
            if name not in declared and not is_reserved(name):
                raise InvalidInput(f"there is no parameter {name!r}; the model takes {parameters_text(declared)}")
    checked: dict[str, Parameter] = {}
    for name, spec in declared.items():
        value = given.get(name) if given else None
        if value is not None:
            checked[name] = spec.check(name, value)
        elif spec.default is not None:
            checked[name] = spec.default
    return MappingProxyType(checked) if checked else NO_PARAMETERS


def parameters_text(declared: Mapping[str, ParameterSpec]) -> str:
    """All of ``declared`` on one line, for a message."""
    return ", ".join(f"{name}: {spec}" for name, spec in declared.items()) or "no parameters"


def described_parameters(declared: Mapping[str, ParameterSpec]) -> dict[str, dict[str, Any]]:
    """All of ``declared`` as JSON."""
    return {name: spec.described() for name, spec in declared.items()}


def _check_bounds(minimum: float | None, maximum: float | None) -> None:
    for what, bound in (("minimum", minimum), ("maximum", maximum)):
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, numbers.Real)):
            raise TypeError(f"the {what} of a parameter is {bound!r}, which is not a number")
        if bound is not None and math.isnan(bound):
            raise ValueError(f"the {what} of a parameter is NaN, which nothing can be held against; leave it out")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise ValueError(f"the minimum of a parameter, {minimum}, is above its maximum, {maximum}")


def _shown(value: Any) -> str:
    """As clients write it, too."""
    if isinstance(value, bool | np.bool):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and math.isnan(value):
        return "NaN"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."

"""Named tensors, and the signatures that declare which of them a model takes and gives."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar

from numpy.typing import NDArray

from mlbuffet.dimensions import Equality, OutputShapes, check_equalities, equalities
from mlbuffet.errors import InvalidInput, UnknownSignature
from mlbuffet.features import Categories, Features
from mlbuffet.parameters import Parameter, ParameterSpec, checked_parameters, declared_parameters
from mlbuffet.tensor_spec import (
    Shape,
    Sizes,
    TensorSpec,
    only_input,
    shape_text,
    shapes_text,
    specs_of_rows,
    specs_text,
)
from mlbuffet.text_arrays import text_array, texts_in

__all__ = [
    "DEFAULT_SIGNATURE",
    "Categories",
    "Features",
    "ParameterSpec",
    "Shape",
    "Signature",
    "Signatures",
    "Sizes",
    "TensorSpec",
    "Tensors",
    "only_input",
    "rough_size",
    "shape_text",
    "shapes_text",
    "specs_of_rows",
    "specs_text",
    "text_array",
    "texts_in",
]

T = TypeVar("T")

Tensors: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays by name. Text and bytes are ``object`` arrays whose elements are ``bytes``."""

DEFAULT_SIGNATURE = "serving_default"
"""The name TensorFlow gives the signature to serve; a runtime with one graph calls its only signature so."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What one function of a model takes and gives, in declared order.

    ``method`` is TensorFlow Serving's kind of signature: "predict", "classify" or "regress". A function that takes
    inputs of several dtypes has ``variants``, signatures with the same names, of which the first is also its own
    ``inputs`` and ``outputs``: what a call brings chooses one of them. ``parameters`` are what a call may set besides,
    ``description`` is a sentence for people.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method: Literal["predict", "classify", "regress"] = "predict"
    variants: tuple["Signature", ...] = ()
    parameters: Mapping[str, ParameterSpec] = field(default_factory=dict)
    description: str = ""
    _equalities: tuple[Equality, ...] = field(init=False, compare=False, repr=False)
    output_shapes: OutputShapes = field(init=False, compare=False, repr=False)

    def __init__(
        self,
        inputs: Iterable[TensorSpec],
        outputs: Iterable[TensorSpec],
        method: Literal["predict", "classify", "regress"] = "predict",
        *,
        parameters: Mapping[str, ParameterSpec] = MappingProxyType({}),
        description: str = "",
    ) -> None:
        object.__setattr__(self, "inputs", _by_name(inputs))
        object.__setattr__(self, "outputs", _by_name(outputs))
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "variants", ())
        object.__setattr__(self, "parameters", declared_parameters(parameters))
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "_equalities", equalities(self.inputs.values()))
        object.__setattr__(self, "output_shapes", OutputShapes(self.inputs.values(), self.outputs.values()))
        if optional := [spec.name for spec in self.outputs.values() if spec.optional]:
            raise ValueError(f"the output {optional[0]!r} is optional; only inputs can be left out")

    def __reduce__(self) -> tuple[object, ...]:
        """So that signatures travel between processes: their mappings cannot, which nobody may change."""
        return _signature, (
            tuple(self.inputs.values()),
            tuple(self.outputs.values()),
            self.method,
            dict(self.parameters),
            self.description,
            self.variants,
        )

    @classmethod
    def of_variants(cls, variants: Iterable["Signature"]) -> "Signature":
        """One signature for several that differ in dtypes and shapes alone; a call uses the first that it fits."""
        several = tuple(variants)
        first = several[0]
        if any(list(first.inputs) != list(one.inputs) or list(first.outputs) != list(one.outputs) for one in several):
            raise ValueError("the variants of a signature have the same inputs and outputs by name, in the same order")
        if any(one.parameters != first.parameters for one in several):
            raise ValueError("the variants of a signature have the same parameters")
        signature = first.with_inputs(first.inputs.values())
        object.__setattr__(signature, "variants", several)
        return signature

    def with_inputs(self, inputs: Iterable[TensorSpec]) -> "Signature":
        """The same for other inputs, without variants."""
        return Signature(
            inputs, self.outputs.values(), self.method, parameters=self.parameters, description=self.description
        )

    def variant_for(self, values: Mapping[str, Any]) -> "Signature":
        """The variant whose dtypes ``values`` have or can be given; the signature itself where it has none.

        Lists and numbers, which have no dtype, go to the first variant that takes them. Raises `InvalidInput`.
        """
        if not self.variants:
            return self
        return self.first_that(lambda variant: variant.check_inputs(values, any_shape=True))[0]

    def first_that(self, attempt: Callable[["Signature"], T]) -> tuple["Signature", T]:
        """The first variant for which ``attempt`` raises no `InvalidInput`, and its result.

        Where it raises for all, the first error is raised, with what the others take.
        """
        if not self.variants:
            return self, attempt(self)
        errors: list[InvalidInput] = []
        for variant in self.variants:
            try:
                return variant, attempt(variant)
            except InvalidInput as error:
                errors.append(error)
        others = "; or ".join(specs_text(variant.inputs) for variant in self.variants[1:])
        raise InvalidInput(f"{errors[0]}; or {others}") from errors[0]

    def check_inputs(self, values: Mapping[str, Any], *, any_shape: bool = False) -> dict[str, NDArray[Any]]:
        """The arrays of a call in declared order, or `InvalidInput`: every input, no other, each as declared.

        Optional inputs may be missing; dimensions of one name have one size. With ``any_shape`` each is as declared but
        for its shape.
        """
        checked = {}
        for name, spec in self.inputs.items():
            if name not in values:
                if spec.optional:
                    continue
                raise InvalidInput(f"input {name!r} is missing; the model takes {specs_text(self.inputs)}")
            checked[name] = spec.check(values[name], any_shape=any_shape)
        if len(values) != len(checked):
            unknown = next(name for name in values if name not in checked)
            raise InvalidInput(f"there is no input {unknown!r}; the model takes {specs_text(self.inputs)}")
        if self._equalities and not any_shape:
            check_equalities(self._equalities, checked)
        return checked

    def check_outputs(self, names: Sequence[str] | None) -> Sequence[str]:
        """The outputs to return: those asked for, each once and in that order, or all of them."""
        if names is None:
            return tuple(self.outputs)
        if isinstance(names, str):
            raise InvalidInput(f"outputs is a list of names, such as [{names!r}], not the text {names!r}")
        for position, name in enumerate(names):
            if name not in self.outputs:
                raise InvalidInput(f"there is no output {name!r}; the model gives {specs_text(self.outputs)}")
            if name in names[:position]:
                raise InvalidInput(f"output {name!r} is requested twice")
        return names

    def check_parameters(self, given: Mapping[str, Any] | None) -> Mapping[str, Parameter]:
        """The parameters of a call with defaults filled in, or `InvalidInput`."""
        return checked_parameters(self.parameters, given)


class Signatures(Mapping[str, Signature]):
    """The signatures of a model by name, in order; ``default`` is that of a call that names none.

    ``default_reason`` says why it is the default, or why there is none and what to do; ``mlbuffet inspect`` shows it,
    and so does the error of a call that names none where there is no default. Without paths and text of other
    libraries.
    """

    __slots__ = ("_by_name", "default", "default_reason")

    def __init__(
        self,
        signatures: Mapping[str, Signature],
        default: str | None = DEFAULT_SIGNATURE,
        *,
        default_reason: str = "",
    ) -> None:
        if default is not None and default not in signatures:
            raise ValueError(f"the default signature {default!r} is not among the signatures: {', '.join(signatures)}")
        self._by_name = dict(signatures)
        self.default = default
        self.default_reason = default_reason

    def resolve(self, name: str | None) -> str:
        """The signature of a call that names ``name``, or none. Raises `UnknownSignature`."""
        chosen = self.default if name is None else name
        if chosen is None or chosen not in self._by_name:
            raise UnknownSignature(name, self._by_name, self.default_reason if name is None else "")
        return chosen

    def __getitem__(self, name: str) -> Signature:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return f"Signatures({self._by_name!r}, default={self.default!r})"


def rough_size(tensors: Tensors) -> int:
    """The bytes of all elements and texts, estimated where there are more than 512 texts."""
    size = 0
    for array in tensors.values():
        step = array.size // 512 + 1
        size += sum(map(len, array.flat[::step])) * step if array.dtype.kind == "O" else array.nbytes
    return size


def _signature(
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    method: Literal["predict", "classify", "regress"],
    parameters: Mapping[str, ParameterSpec],
    description: str,
    variants: tuple[Signature, ...],
) -> Signature:
    signature = Signature(inputs, outputs, method, parameters=parameters, description=description)
    object.__setattr__(signature, "variants", variants)
    return signature


def _by_name(specs: Iterable[TensorSpec]) -> Mapping[str, TensorSpec]:
    named: dict[str, TensorSpec] = {}
    for spec in specs:
        if not isinstance(spec, TensorSpec):
            raise TypeError(f"the inputs and outputs of a signature are lists of TensorSpec, and {spec!r} is none")
        if spec.name in named:
            raise ValueError(f"two tensors of one signature are called {spec.name!r}")
        named[spec.name] = spec
    return MappingProxyType(named)

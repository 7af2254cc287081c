"""Named tensors, and the signatures that declare which of them a model takes and gives."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mlbuffet.conversion import PYTHON_TYPES, array_from_python, dtype_name, is_small, wrong_dtype
from mlbuffet.errors import InvalidInput, UnknownSignature
from mlbuffet.parameters import Parameter, ParameterSpec, checked_parameters, declared_parameters
from mlbuffet.text_arrays import bytes_of_text

T = TypeVar("T")

Tensors: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays by name. Text and bytes are ``object`` arrays whose elements are ``bytes``."""

Shape: TypeAlias = tuple[int | None, ...] | None
"""Sizes of the dimensions, ``None`` for any size; instead of a tuple, ``None`` for any rank."""

DEFAULT_SIGNATURE = "serving_default"
"""The name TensorFlow gives the signature to serve; a runtime with one graph calls its only signature so."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, dtype and shape of one input or output.

    ``dtype`` is a bool, integer, float or complex type of numpy or ml_dtypes, or ``object`` for bytes.
    ``wire_name`` is what the model's file calls the tensor, where that is another name: TensorFlow Serving's metadata
    shows it, and nothing else uses it, so specs that differ in it alone are equal.
    """

    name: str
    dtype: np.dtype[Any]
    shape: Shape
    wire_name: str | None = field(default=None, compare=False)

    def __init__(
        self, name: str, dtype: DTypeLike, shape: Iterable[int | None] | None, *, wire_name: str | None = None
    ) -> None:
        exact = _native(np.dtype(dtype))
        if exact.kind not in "biufcO" and not is_small(exact):
            problem = f"{exact} is not the dtype of a tensor; text and bytes are declared as object"
            raise ValueError(f"tensor {name!r}: {problem}")
        if type(name) is not str or type(wire_name or "") is not str:
            raise TypeError(f"the names of a tensor are text, not {name!r} and {wire_name!r}")
        dimensions = None if shape is None else tuple(shape)
        if any(size is not None and (type(size) is not int or size < 0) for size in dimensions or ()):
            raise ValueError(f"tensor {name!r}: a dimension of {dimensions} is neither None nor a size")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "dtype", exact)
        object.__setattr__(self, "shape", dimensions)
        object.__setattr__(self, "wire_name", wire_name)

    def __str__(self) -> str:
        return f"{self.name}: {dtype_name(self.dtype)} {shape_text(self.shape)}"

    def check(self, value: Any, *, any_shape: bool = False) -> NDArray[Any]:
        """``value`` as the array that this input takes, or `InvalidInput`.

        A Python list or scalar is converted (`mlbuffet.conversion`); a numpy array must have the dtype already, in
        any byte order. With ``any_shape`` its rank and sizes may be others than declared.
        """
        array = value if type(value) is np.ndarray else self._array(value)
        if array.dtype is not self.dtype and array.dtype != self.dtype:  # built-in dtypes are singletons
            if self.dtype.kind == "O" and array.dtype.kind in "SUT":
                array = array.astype(object)
            elif _native(array.dtype) == self.dtype:
                array = array.astype(self.dtype)
            else:
                raise wrong_dtype(self.name, array, self.dtype)
        if not any_shape and not self.accepts_shape(array.shape):
            shape = shape_text(array.shape)
            raise InvalidInput(f"input {self.name!r} has shape {shape}; the model takes {shape_text(self.shape)}")
        return bytes_of_text(array, self.name) if self.dtype.kind == "O" else array

    def accepts_shape(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of ``shape`` fits: any rank, or the same rank and every static dimension equal."""
        if self.shape is None:
            return True
        if len(shape) != len(self.shape):
            return False
        for declared, came in zip(self.shape, shape, strict=True):  # all() of a generator takes 1 us more
            if declared is not None and declared != came:
                return False
        return True

    def _array(self, value: Any) -> NDArray[Any]:
        if isinstance(value, PYTHON_TYPES) and not isinstance(value, np.generic):
            return array_from_python(value, self.dtype, self.name)
        if np.ma.is_masked(value):
            raise InvalidInput(f"input {self.name!r} has masked elements; fill them with .filled()")
        try:
            array = np.asarray(value)
        except Exception as error:
            kind = type(value).__name__
            raise InvalidInput(f"input {self.name!r} is a {kind}, of which numpy makes no array: {error}") from error
        if array.dtype == object and not hasattr(value, "__array__"):
            raise InvalidInput(f"input {self.name!r} is a {type(value).__name__}; the model takes {self}")
        return array


@dataclass(frozen=True, slots=True)
class Signature:
    """What one function of a model takes and gives, in declared order.

    ``method`` is TensorFlow Serving's kind of signature: "predict", "classify" or "regress". A function that takes
    inputs of several dtypes has ``variants``, signatures with the same names, of which the first is also its own
    ``inputs`` and ``outputs``: what a call brings chooses one of them. ``parameters`` are what a call may set besides.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method: Literal["predict", "classify", "regress"] = "predict"
    variants: tuple["Signature", ...] = ()
    parameters: Mapping[str, ParameterSpec] = field(default_factory=dict)

    def __init__(
        self,
        inputs: Iterable[TensorSpec],
        outputs: Iterable[TensorSpec],
        method: Literal["predict", "classify", "regress"] = "predict",
        *,
        parameters: Mapping[str, ParameterSpec] = MappingProxyType({}),
    ) -> None:
        object.__setattr__(self, "inputs", _by_name(inputs))
        object.__setattr__(self, "outputs", _by_name(outputs))
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "variants", ())
        object.__setattr__(self, "parameters", declared_parameters(parameters))

    @classmethod
    def of_variants(cls, variants: Iterable["Signature"]) -> "Signature":
        """One signature for several that differ in dtypes and shapes alone; a call uses the first that it fits."""
        several = tuple(variants)
        first = several[0]
        if any(list(first.inputs) != list(one.inputs) or list(first.outputs) != list(one.outputs) for one in several):
            raise ValueError("the variants of a signature have the same inputs and outputs by name, in the same order")
        if any(one.parameters != first.parameters for one in several):
            raise ValueError("the variants of a signature have the same parameters")
        signature = cls(first.inputs.values(), first.outputs.values(), first.method, parameters=first.parameters)
        object.__setattr__(signature, "variants", several)
        return signature

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

        With ``any_shape`` each as declared but for its shape.
        """
        checked = {}
        for name, spec in self.inputs.items():
            if name not in values:
                raise InvalidInput(f"input {name!r} is missing; the model takes {specs_text(self.inputs)}")
            checked[name] = spec.check(values[name], any_shape=any_shape)
        if len(values) != len(checked):
            unknown = next(name for name in values if name not in checked)
            raise InvalidInput(f"there is no input {unknown!r}; the model takes {specs_text(self.inputs)}")
        return checked

    def check_outputs(self, names: Sequence[str] | None) -> Sequence[str]:
        """The outputs to return: those asked for, each once and in that order, or all of them."""
        if names is None:
            return tuple(self.outputs)
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


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """In the byte order of this machine; numpy's ``StringDType`` has none."""
    return dtype if dtype.kind == "T" else dtype.newbyteorder("=")


def rough_size(tensors: Tensors) -> int:
    """The bytes of all elements and texts, estimated where there are more than 512 texts."""
    size = 0
    for array in tensors.values():
        step = array.size // 512 + 1
        size += sum(map(len, array.flat[::step])) * step if array.dtype.kind == "O" else array.nbytes
    return size


def shape_text(shape: Shape) -> str:
    """``shape`` as messages and tables show it: ``(any, 4)``, ``(3,)``, ``()``, ``any rank``."""
    return "any rank" if shape is None else str(tuple(shape)).replace("None", "any")


def specs_text(specs: Mapping[str, TensorSpec]) -> str:
    """All of ``specs`` on one line, for a message."""
    return ", ".join(str(spec) for spec in specs.values()) or "nothing"


def _by_name(specs: Iterable[TensorSpec]) -> Mapping[str, TensorSpec]:
    named: dict[str, TensorSpec] = {}
    for spec in specs:
        if spec.name in named:
            raise ValueError(f"two tensors of one signature are called {spec.name!r}")
        named[spec.name] = spec
    return MappingProxyType(named)

"""What the named dimensions of a signature require of the arrays of one call."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.tensor_spec import Shape, TensorSpec, shape_text

Arrays = Mapping[str, NDArray[Any]]


class Place(NamedTuple):
    """An axis of a tensor."""

    tensor: str
    axis: int


class Equality(NamedTuple):
    """Two axes of the inputs that have one name."""

    first: str
    first_axis: int
    other: str
    other_axis: int
    dimension: str


def equalities(inputs: Iterable[TensorSpec]) -> tuple[Equality, ...]:
    """The axes of ``inputs`` that must be equal, by their names; they may be those of one input."""
    specs = {spec.name: spec for spec in _required_first(inputs)}
    found = list[Equality]()
    for dimension, places in _places(specs.values()).items():
        certain = not specs[places[0].tensor].optional
        pairs = ((places[0], place) for place in places[1:]) if certain else combinations(places, 2)
        found += [Equality(*first, *other, dimension) for first, other in pairs]
    return tuple(found)


def check_equalities(equalities: Iterable[Equality], arrays: Arrays) -> None:
    """`InvalidInput` where axes of one name differ in size; ``arrays`` have the declared ranks, or are left out."""
    for equality in equalities:
        first, first_axis, other, other_axis, _ = equality
        if first in arrays and other in arrays:
            expected, size = arrays[first].shape[first_axis], arrays[other].shape[other_axis]
            if size != expected:
                raise _unequal(equality, expected, size)


def _unequal(equality: Equality, expected: int, size: int) -> InvalidInput:
    first, _, other, _, dimension = equality
    if other == first:
        came = f"input {other!r} has both {expected} and {size} for the dimension {dimension!r}"
    else:
        came = f"input {other!r} has {size} for the dimension {dimension!r}, and input {first!r} has {expected}"
    return InvalidInput(f"{came}; the model takes tensors in which they are equal")


class _Known(NamedTuple):
    """What is known of the shape of one output."""

    output: str
    rank: int
    sizes: tuple[tuple[int, int], ...]
    """Axis and size."""
    declared: Shape


class _Bound(NamedTuple):
    """An axis of an output whose name an input, or an output before it, has as well."""

    output: str
    axis: int
    of_input: bool
    other: str
    other_axis: int
    dimension: str


class OutputShapes:
    """The shapes that the outputs of a call have by their declaration, and by the inputs of that call."""

    __slots__ = ("_bounds", "_known")

    def __init__(self, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> None:
        declared = tuple(outputs)
        self._known = tuple(_known(spec) for spec in declared if spec.sizes is not None)
        self._bounds = tuple(_bounds(inputs, declared))

    def misfit(self, inputs: Arrays, outputs: Arrays) -> str | None:
        """What is wrong with the shape of one of all ``outputs``, as a sentence; ``None`` where nothing is."""
        for known in self._known:
            name, rank, sizes, _ = known
            shape = outputs[name].shape
            if len(shape) != rank:
                return _unlike(known, shape)
            for axis, size in sizes:
                if shape[axis] != size:
                    return _unlike(known, shape)
        for bound in self._bounds:
            output, axis, of_input, other, other_axis, _ = bound
            arrays = inputs if of_input else outputs
            if other in arrays and outputs[output].shape[axis] != arrays[other].shape[other_axis]:
                return _apart(bound, outputs[output].shape[axis], arrays[other].shape[other_axis])
        return None


def _unlike(known: _Known, shape: tuple[int, ...]) -> str:
    declared = shape_text(known.declared)
    return f"its output {known.output!r} has shape {shape_text(shape)}, and its signature says {declared}"


def _apart(bound: _Bound, size: int, expected: int) -> str:
    other = f"{'input' if bound.of_input else 'output'} {bound.other!r}"
    return f"its output {bound.output!r} has {size} for the dimension {bound.dimension!r}, and {other} has {expected}"


def _known(spec: TensorSpec) -> _Known:
    sizes = tuple((axis, size) for axis, size in enumerate(spec.sizes or ()) if size is not None)
    return _Known(spec.name, len(spec.sizes or ()), sizes, spec.shape)


def _bounds(inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> Iterator[_Bound]:
    given = _places(_required_first(inputs))
    for dimension, places in _places(outputs).items():
        of_input = dimension in given
        other = given[dimension][0] if of_input else places[0]
        for place in places if of_input else places[1:]:
            yield _Bound(*place, of_input, *other, dimension)


def _required_first(inputs: Iterable[TensorSpec]) -> list[TensorSpec]:
    return sorted(inputs, key=lambda spec: spec.optional)


def _places(specs: Iterable[TensorSpec]) -> dict[str, list[Place]]:
    """Where each name stands."""
    found: dict[str, list[Place]] = {}
    for spec in specs:
        for axis, dimension in enumerate(spec.shape or ()):
            if isinstance(dimension, str):
                found.setdefault(dimension, []).append(Place(spec.name, axis))
    return found

"""Which dimensions of different steps are one, because an output of one step is an input of another."""

from typing import TypeAlias

from mlbuffet.tensors import TensorSpec

Key: TypeAlias = tuple[str, str, int]
"""A dimension: the step and the name with -1, or where it has none the step, the tensor and the axis."""
Dimension: TypeAlias = int | Key


class Unequal(ValueError):
    """Two sizes that would have to be one."""


class Dimensions:
    """Dimensions that are equal, and the sizes of those that have one."""

    def __init__(self, other: "Dimensions | None" = None) -> None:
        self._same: dict[Key, Dimension] = dict(other._same) if other else {}

    def join(self, one: Dimension, other: Dimension) -> None:
        """Let both be equal. Raises `Unequal`."""
        one, other = self.found(one), self.found(other)
        if isinstance(one, int) and isinstance(other, int):
            if one != other:
                raise Unequal(f"{one} is not {other}")
        elif isinstance(other, int) or (isinstance(one, tuple) and _is_named(other) > _is_named(one)):
            self._join(one, other)
        else:
            self._join(other, one)

    def found(self, dimension: Dimension) -> Dimension:
        """The size of a dimension, or the one that stands for all that are equal to it."""
        while isinstance(dimension, tuple) and dimension in self._same:
            dimension = self._same[dimension]
        return dimension

    def _join(self, one: Dimension, other: Dimension) -> None:
        if isinstance(one, tuple) and one != other:
            self._same[one] = other


class Names:
    """Names for dimensions in one signature, each for one of them alone."""

    def __init__(self, dimensions: Dimensions) -> None:
        self._dimensions = dimensions
        self._taken: dict[str, Key] = {}

    def shape(self, step: str, spec: TensorSpec) -> tuple[int | str | None, ...] | None:
        """The shape of a tensor of ``step``, by what is known of its dimensions."""
        keys = keys_of(step, spec)
        return None if keys is None else tuple(self._shown(self._dimensions.found(key)) for key in keys)

    def _shown(self, dimension: Dimension) -> int | str | None:
        if isinstance(dimension, int):
            return dimension
        step, name, axis = dimension
        if axis >= 0:
            return None
        return name if self._taken.setdefault(name, dimension) == dimension else f"{step}.{name}"


def keys_of(step: str, spec: TensorSpec) -> tuple[Dimension, ...] | None:
    """The dimensions of a tensor; ``None`` where it may have any rank."""
    if spec.shape is None:
        return None
    return tuple(
        size if isinstance(size, int) else (step, spec.name, axis) if size is None else (step, size, -1)
        for axis, size in enumerate(spec.shape)
    )


def _is_named(dimension: Dimension) -> bool:
    return isinstance(dimension, tuple) and dimension[2] < 0

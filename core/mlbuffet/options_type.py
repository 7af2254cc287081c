"""The type whose fields are the options of a runtime, and its values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from mlbuffet.errors import InvalidOptions

if TYPE_CHECKING:
    from msgspec import ValidationError

T = TypeVar("T")


def option_names(kind: type) -> tuple[str, ...]:
    """The names of the fields. Raises ``TypeError`` where ``kind`` is no `msgspec.Struct` and no dataclass."""
    from msgspec import inspect  # programs whose plugins do without import nothing of it

    described = inspect.type_info(kind)
    if not isinstance(described, inspect.StructType | inspect.DataclassType):
        raise TypeError(f"{kind!r} has no fields")
    return tuple(field.encode_name for field in described.fields)


def options_of(kind: type[T], given: Mapping[str, Any]) -> T:
    """``given`` by name, as values of ``kind``; nothing is coerced. Raises `InvalidOptions`, which names the option."""
    from msgspec import ValidationError, convert

    names = option_names(kind)
    if unknown := [name for name in given if name not in names]:
        raise InvalidOptions(f"there is no option {', '.join(map(repr, unknown))}", names)
    try:
        return convert(dict(given), kind)
    except ValidationError as error:
        raise InvalidOptions(problem_of(error), names) from None


def by_name(options: Any) -> Mapping[str, Any]:
    """The fields of `options_of`; a mapping as it is."""
    if isinstance(options, Mapping):
        return options
    return {name: getattr(options, name) for name in option_names(type(options))}


def problem_of(error: "ValidationError") -> str:
    """``threads: expected int, got str``; the text itself where ``__post_init__`` raised it."""
    what, _, where = str(error).replace("`", "").rpartition(" - at $.")
    return f"{where}: {what[:1].lower()}{what[1:]}" if what else where

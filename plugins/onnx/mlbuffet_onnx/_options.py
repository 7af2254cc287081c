"""The options of the runtime."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from mlbuffet.errors import InvalidOptions

Threads = Annotated[int, msgspec.Meta(ge=0)]
Provider = str | tuple[str, dict[str, Any]]
Optimization = Literal["disable", "basic", "extended", "all"]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be chosen when a model is loaded; the names are onnxruntime's."""

    providers: Annotated[list[Provider], msgspec.Meta(min_length=1)] | None = None
    """Execution providers by preference, each a name or a name with the provider's own options; None: as onnxruntime
    chooses."""
    intra_op_threads: Threads = 0
    """Threads within an operator, the calling one among them; 0: as many as the machine has cores."""
    spinning: bool = False
    """Whether idle threads poll for work before they sleep: a little faster for consecutive calls, with more load on
    the processors."""
    inter_op_threads: Threads = 0
    """Threads for operators side by side, if more than 1; 0 and 1: one operator after the other."""
    graph_optimization: Optimization = "all"
    """How far the graph is rewritten for speed before it runs."""
    custom_op_libraries: tuple[str, ...] = ()
    """Shared libraries with operators of their own, as paths from the model's folder."""


VALID_OPTIONS = Options.__struct_fields__


def parse_options(options: Mapping[str, Any]) -> Options:
    """``options`` as `Options`, or `InvalidOptions`."""
    unknown = [name for name in options if name not in VALID_OPTIONS]
    if unknown:
        raise InvalidOptions(f"there is no option {', '.join(map(repr, unknown))}", VALID_OPTIONS)
    try:
        return msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        raise InvalidOptions(str(error), VALID_OPTIONS) from None

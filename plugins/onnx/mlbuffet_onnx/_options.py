"""The options of the runtime."""

from typing import Annotated, Any, Literal

import msgspec

Threads = Annotated[int, msgspec.Meta(ge=0)]
Provider = str | tuple[str, dict[str, Any]]
Optimization = Literal["disable", "basic", "extended", "all"]


class Options(msgspec.Struct, frozen=True):
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

"""The options that a caller or a model.toml may give this runtime."""

from typing import Annotated

import msgspec

Threads = Annotated[int, msgspec.Meta(ge=0, le=4096)]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to load a model."""

    signature: str | None = None
    """The default signature; None: the one that the rules of resolution find."""
    tags: tuple[str, ...] | None = None
    """The tags of the graph to serve, all of them; None: the graph that the rules of tags find."""
    intra_op_threads: Threads = 0
    """Threads within an operation; 0: as many as the machine has cores. TensorFlow keeps one pool for the process, and
    its first use decides the size: later models share it, whatever they ask for."""
    inter_op_threads: Threads = 0
    """Threads for operations of one call side by side, in a pool of the model's own, if more than 1; 0 and 1: a call
    runs in the thread that makes it, one operation after the other, which is the fastest for small models."""
    device: str | None = None
    """Where operations run that the file puts nowhere: ``cpu``, ``gpu``, ``gpu:1``; None: TensorFlow's choice."""
    gpu_memory_growth: bool = False
    """Whether TensorFlow takes a GPU's memory bit by bit. False: nearly all at once. Of the process, as the pool."""
    xla: bool = False
    """Whether XLA compiles what it can of a graph, which makes the first call for each shape take seconds."""
    imports: tuple[str, ...] = ()
    """Python modules that are imported before the model is loaded, for the operations that they bring."""

    def __post_init__(self) -> None:
        """Refuse what is no name of a module."""
        for name in self.imports:
            if not all(part.isidentifier() for part in name.split(".")):
                raise ValueError(f"imports holds {name!r}, which is no name of a Python module, as tensorflow_text is")

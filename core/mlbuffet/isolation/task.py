"""What a process is told before it loads its model."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A model, and how its process is limited."""

    path: Path
    runtime: str
    options: Any
    """`Runtime.combined_options`."""
    plugins: Mapping[str, str]
    """The addresses of the plugins that no package brought, by the names of their runtimes."""
    name: str
    version: int | None
    options_folder: Path | None
    is_upload: bool
    memory: int | None
    """How many bytes it may allocate; ``None``: no limit."""
    cores: Sequence[int] | None
    """On which cores it may run; ``None``: on all."""
    server: int
    """The id of the process that it ends with."""
    log_level: int = field(default_factory=lambda: logging.getLogger().getEffectiveLevel())

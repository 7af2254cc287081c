"""What the tests of models in processes of their own share."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import mlbuffet
from isolation_help import Serve
from misbehaving import Keeping, Misbehaving
from small_runtimes import ProcessId, small_runtimes, write_models


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A function that serves models, files by their names, each in processes of its own."""
    runtimes = small_runtimes()
    for name, plugin in {"bad": Misbehaving, "keep": Keeping, "process": ProcessId}.items():
        runtimes.register(plugin, name=name)
    with ExitStack() as stack:

        def served(models: Mapping[str, str], **settings: Any) -> mlbuffet.Repository:
            root = write_models(tmp_path / "models", models)
            settings = {"isolate": True, **settings}
            return stack.enter_context(mlbuffet.Repository(root, runtimes=runtimes, **settings))

        yield served

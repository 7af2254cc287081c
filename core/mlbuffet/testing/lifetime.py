"""What stays of a model that is closed: nothing, and its neighbours."""

import gc
import weakref
from typing import NamedTuple

import psutil
import pytest

from mlbuffet.load_context import LoadContext
from mlbuffet.model import Model
from mlbuffet.runtimes import Runtime, Runtimes
from mlbuffet.testing.samples import Artifact
from mlbuffet.testing.subject import Subject, load, predict


class Lifetime(Subject):
    """The rules of ``unload``."""

    def test_two_models_live_side_by_side(self, loaded_model: Model, runtimes: Runtimes, artifact: Artifact) -> None:
        """Closing one model does not harm another of the same artifact."""
        load(runtimes, artifact).close()
        self.check(predict(loaded_model, artifact), artifact.outputs, "the sample, after another model was closed,")

    def test_unload_lets_the_model_go(self, runtime: Runtime, artifact: Artifact, context: LoadContext) -> None:
        """``unload``, where there is one, does not raise, and afterwards nothing refers to what ``load`` returned."""
        options = runtime.combined_options(artifact.options, {})
        handle = runtime.hook("load")(path=artifact.path, options=options, context=context)
        runtime.hook("signature")(model=handle)
        runtime.hook("unload")(model=handle)
        try:
            trace = weakref.ref(handle)
        except TypeError:
            pytest.skip(f"a {type(handle).__name__} cannot be watched; the size of the process is, in another test")
        del handle
        gc.collect()
        assert trace() is None, "the plugin still holds what `load` returned; keep no list of models, or clear it"

    def test_loading_again_and_again_does_not_grow(self, runtimes: Runtimes, artifact: Artifact) -> None:
        """Load, predict and close in a loop leaves memory, open files and threads as they were.

        The first rounds fill caches, and an allocator may grow once more; a leak grows each time.
        """
        before: _Usage | None = None
        allowed = _Usage(self.leak_bytes, files=self.leak_rounds // 2, threads=self.leak_rounds // 2)
        for _attempt in range(4):
            for _round in range(self.leak_rounds):
                with load(runtimes, artifact) as model:
                    predict(model, artifact)
            after = _usage()
            grown = _Usage(*(now - then for now, then in zip(after, before or after, strict=True)))
            if before is not None and all(more <= most for more, most in zip(grown, allowed, strict=True)):
                return
            before = after
        pytest.fail(f"{self.leak_rounds} rounds of load and close grew the process by {grown}; release it in `unload`")


class _Usage(NamedTuple):
    memory: int
    files: int
    threads: int


def _usage() -> _Usage:
    gc.collect()
    process = psutil.Process()
    return _Usage(process.memory_info().rss, process.num_fds(), process.num_threads())

"""A runtime that loads its models in processes of their own, for whoever takes a runtime."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from typing_extensions import override

from mlbuffet.errors import LoadFailed, ProcessCrashed
from mlbuffet.isolation.calls import Calls
from mlbuffet.isolation.process_settings import Isolation, ProcessSettings
from mlbuffet.isolation.processes import Processes
from mlbuffet.isolation.task import Task
from mlbuffet.load_context import LoadContext
from mlbuffet.runtimes import Runtime, Runtimes, address_of
from mlbuffet.tensors import Signatures, Tensors


class IsolatedRuntime(Runtime):
    """Stands for ``runtime``, one of ``runtimes``, in the load of one model, whose calls it has from then on.

    Its handles are `Calls`. ``on_lost`` is called with the reason once the model can answer no more.
    """

    def __init__(
        self,
        runtime: Runtime,
        runtimes: Runtimes,
        settings: ProcessSettings,
        isolation: Isolation,
        on_lost: Callable[[ProcessCrashed], None] = lambda _: None,
    ) -> None:
        vars(self).update(vars(runtime))
        self._own_hook = runtime.hook
        self._runtimes = runtimes
        self._settings = settings
        self._isolation = isolation
        self._on_lost = on_lost
        self.load_turn = nullcontext  # each process has its own
        self.hook = self._hook

    @override
    def is_suspect(self, model: Any, signature: str, inputs: Tensors) -> bool:
        return bool(model.is_suspect(signature, inputs))

    @override
    def end_of_warmup(self, model: Any) -> None:
        model.end_of_warmup()

    def _hook(self, name: str) -> Callable[..., Any]:
        hooks: dict[str, Callable[..., Any]] = {
            "load": self._load,
            "signature": self._signature,
            "concurrency": self._concurrency,
            "memory": self._memory,
            "predict": _predict,
            "unload": self._unload,
        }
        return hooks.get(name) or self._own_hook(name)

    def _load(self, path: Path, options: Any, context: LoadContext) -> Calls:
        if not hasattr(os, "eventfd") or not hasattr(os, "memfd_create"):
            raise LoadFailed("[process]: models run in processes of their own on Linux alone")
        task = Task(
            path=path.absolute(),
            runtime=self.name,
            options=options,
            plugins={one.name: address_of(one.plugin) for one in self._runtimes if one.distribution is None},
            name=context.name,
            version=context.version,
            options_folder=context.options_folder,
            is_upload=context.is_upload,
            memory=self._settings.memory_bytes,
            cores=self._settings.cores,
            server=os.getpid(),
        )
        processes = Processes(task, self._settings, self._isolation, context.models, self._on_lost)
        self.processes = processes
        return Calls(task, processes, self._settings.timeout)

    def _signature(self, model: Calls) -> Signatures:
        return model.processes.signatures

    def _concurrency(self, model: Calls) -> int | None:
        return model.processes.concurrency

    def _memory(self, model: Calls) -> int | None:
        return model.processes.memory

    def _unload(self, model: Calls) -> None:
        model.processes.close()


def _predict(model: Calls, signature: str, inputs: Tensors, request: Any = None) -> Any:
    return model.predict(signature, inputs, request)

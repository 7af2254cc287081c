"""The models of a repository that one of its models calls."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from threading import get_ident
from typing import Any, Protocol

from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput, LoadFailed, ModelNotFound, ModelNotReady
from mlbuffet.repository.version_lifecycle import Handle, ModelVersion
from mlbuffet.tensors import Signatures

REMOVED = "there is no such model any more"


class Repository(Protocol):
    """What is asked of the repository of both models."""

    def get(self, name: str) -> ModelVersion:
        """The default version. Raises `ModelNotFound`."""
        ...

    def needed(self, version: ModelVersion) -> Future[None] | None:
        """The load that a load waits for; ``None`` where it is ready, or waiting is of no use."""
        ...

    def demand(self, version: ModelVersion) -> Future[None] | None:
        """The load that a call waits for; ``None`` where waiting is of no use."""
        ...

    def called(self, name: str) -> set[str]:
        """The models that a model calls."""
        ...

    def waiting(self) -> AbstractContextManager[None]:
        """Around the wait for a load."""
        ...


class CallableModels:
    """An `mlbuffet.hookspecs.OtherModels` for the load of one version, the ``caller``, in the thread that made it."""

    def __init__(self, repository: Repository, caller: ModelVersion) -> None:
        self._repository = repository
        self._caller = caller
        self._thread: int | None = get_ident()
        """In which the caller is loaded; ``None`` after that."""

    def __enter__(self) -> "CallableModels":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread = None

    def __getitem__(self, name: str) -> "CallableModel":
        if self._thread != get_ident():  # cycles are seen, and waits end, only where loads ask
            raise RuntimeError(f"the model {name!r} has to be asked for in load, in its thread; keep what you get")
        self._note(name, None)
        self._check_circle(name)
        seen = self._wait_for(name)
        self._check_circle(name)  # it may call others since it is loaded
        self._note(name, seen)
        return CallableModel(self._repository, self._caller, name)

    def _note(self, name: str, seen: Signatures | None) -> None:
        self._caller.called = {**self._caller.called, name: seen}  # other threads look at it

    def _check_circle(self, name: str) -> None:
        """Raises `LoadFailed` where the calls of ``name`` lead back to the caller."""
        if way := _way(self._repository, name, self._caller.name):
            raise LoadFailed(f"the models call each other in a circle: {' -> '.join([self._caller.name, *way])}")

    def _wait_for(self, name: str) -> Signatures:
        """Until the model can be called; what it takes and gives. Raises `LoadFailed` where it cannot be called."""
        while True:
            try:
                version = self._repository.get(name)
            except ModelNotFound:
                raise LoadFailed(f"it calls the model {name!r}, and there is none of that name beside it") from None
            loading = self._repository.needed(version)
            if loading is None:
                break
            with self._repository.waiting():
                loading.result()
        try:
            return version.check_ready().model.signatures
        except ModelNotReady as error:
            raise LoadFailed(f"it calls the model {name!r}, which is not ready: {error.reason}") from version.error


class HeldVersion:
    """An `mlbuffet.hookspecs.HeldModel`."""

    def __init__(self, name: str, handle: Handle) -> None:
        self.name = name
        self.signatures = handle.model.signatures
        self._handle = handle

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """See `mlbuffet.hookspecs.HeldModel`."""
        try:
            return self._handle.scheduler.direct(
                inputs, signature=signature, outputs=outputs, parameters=parameters, deadline=deadline
            )
        except InvalidInput as error:
            raise InvalidInput(f"the model {self.name!r}: {error.problem}", detail=error.detail) from error

    def __enter__(self) -> "HeldVersion":
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.release()


class CallableModel:
    """An `mlbuffet.hookspecs.OtherModel`: the default version, which is held while it is called."""

    def __init__(self, repository: Repository, caller: ModelVersion, name: str) -> None:
        self.name = name
        self._repository = repository
        self._caller = caller

    @property
    def signatures(self) -> Signatures:
        """See `mlbuffet.hookspecs.OtherModel`."""
        with self.held() as model:
            return model.signatures

    def held(self) -> "HeldVersion":
        """See `mlbuffet.hookspecs.OtherModel`."""
        return HeldVersion(self.name, self._held())

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """See `mlbuffet.hookspecs.OtherModel`."""
        with self.held() as model:
            return model.predict(inputs, signature=signature, outputs=outputs, parameters=parameters, deadline=deadline)

    def __repr__(self) -> str:
        return f"<the model {self.name!r}, called by {self._caller.name!r}>"

    def _held(self) -> Handle:
        """Its default version, loaded first where that is done on demand. Raises `ModelNotReady`."""
        while True:
            try:
                version = self._repository.get(self.name)
            except ModelNotFound as error:
                raise calls_unready(self._caller, self.name, REMOVED) from error
            try:
                return version.use()
            except ModelNotReady as error:
                loading = self._repository.demand(version)
                if loading is None:
                    raise calls_unready(self._caller, self.name, error.reason, error.retry_after) from error
            with self._repository.waiting():
                loading.result()


def calls_unready(caller: ModelVersion, name: str, reason: str, retry_after: float | None = None) -> ModelNotReady:
    """The error of a model that is loaded and calls the model ``name``, which is not ready."""
    return ModelNotReady(caller.name, caller.version, f"it calls the model {name!r}: {reason}", retry_after)


def _way(repository: Repository, start: str, end: str) -> list[str]:
    """The models from ``start`` to ``end``, each of which calls the next; empty where there is no way."""
    ways, seen = [[start]], {start}
    for way in ways:  # which grows
        if way[-1] == end:
            return way
        new = sorted(repository.called(way[-1]) - seen)
        seen.update(new)
        ways.extend([*way, name] for name in new)
    return []

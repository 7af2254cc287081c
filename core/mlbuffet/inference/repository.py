"""The models of a folder, for a program that calls them itself."""

import asyncio
import os
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from math import isnan
from numbers import Real
from operator import index
from threading import Lock
from typing import Any, NoReturn, Self, SupportsIndex

import numpy as np
from anyio.to_thread import current_default_thread_limiter, run_sync
from msgspec.structs import replace
from numpy.typing import NDArray
from typing_extensions import Unpack

from mlbuffet.errors import InvalidInput, ModelNotReady, RepositoryClosed
from mlbuffet.inference.deadline import within
from mlbuffet.inference.local import LocalService
from mlbuffet.inference.local_model import LocalModel
from mlbuffet.inference.loop_thread import LoopThread
from mlbuffet.inference.request import InferenceRequest, ModelSelector
from mlbuffet.inference.service import VersionStatus
from mlbuffet.places import check_type
from mlbuffet.repository import RepositoryOptions, RepositorySettings, ServedPlaces
from mlbuffet.repository.settings import check_names, settings_of
from mlbuffet.runtimes import Runtimes, installed_runtimes
from mlbuffet.scheduling import Deadline
from mlbuffet.tensors import Signatures, Tensors

Outputs = dict[str, NDArray[Any]]


class Repository:
    """The models at some places as ``mlbuffet serve PLACE...`` has them: with their ``model.toml``, versions, batches.

    A context manager, also ``async with``: it loads the models, and unloads them. In between its methods may be called
    from any thread and any event loop, many at once; the calls meet on one event loop in a thread of the repository.
    It may be opened again after it was closed.

    A place is a folder of models, a model, or the URL of a folder. ``runtimes`` are those to choose from, without it
    those installed. ``settings`` are described in `RepositorySettings`; sizes are in bytes. Raises ``TypeError`` for
    what is no place and for a setting that there is not, ``ValueError`` for a value that it cannot have.
    """

    def __init__(
        self,
        place: str | os.PathLike[str],
        /,
        *places: str | os.PathLike[str],
        runtimes: Runtimes | None = None,
        **settings: Unpack[RepositoryOptions],
    ) -> None:
        check_names("Repository()", settings, RepositoryOptions.__annotations__)
        self._settings = settings_of(RepositorySettings, "Repository()", settings)
        for one in (place, *places):
            check_type(one)
        self._places = (place, *places)
        self._runtimes = runtimes
        self._opened: _Opened | None = None
        self._lock = Lock()

    def open(self) -> Self:
        """Find and load the models; each was tried when this returns, and one that failed harms no other.

        Raises as `create_app` where nothing is found, and why where every model failed and none can come later.
        """
        with self._lock:
            if self._opened is not None:
                raise RuntimeError("the repository is open already: open it once, and share it")
            runtimes = installed_runtimes() if self._runtimes is None else self._runtimes
            opened = _Opened(ServedPlaces(self._places, runtimes, self._settings))
            self._close = weakref.finalize(self, opened.close)  # also where nobody closes it, when the process ends
            try:
                opened.load()
            except BaseException:
                self._close()
                raise
            self._opened = opened
        return self

    def close(self) -> None:
        """Unload the models after the calls under way; those that wait for a model to be loaded fail."""
        with self._lock:
            if self._opened is not None:
                self._opened = None
                self._close()

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Outputs:
        """The outputs of a model for ``inputs``, which are arrays, nested lists or scalars by name.

        Its default version is called, or else the one that ``version`` or ``label`` names; ``signature``,
        ``outputs`` and ``parameters`` are those of `Model.predict`. The call fails after ``timeout`` seconds.

        Raises ``TypeError`` or ``ValueError`` for a ``version`` or ``timeout`` that is no such number, what
        `Model.predict` does, `ModelNotFound`, `ModelNotReady`, `Overloaded`, `DeadlineExceeded` and `RepositoryClosed`.
        """
        result = self._submit(
            InferenceRequest(
                model=_selector(model, version, label),
                inputs=inputs,
                signature=signature,
                outputs=outputs,
                parameters=parameters or {},
                deadline=_deadline(timeout),
            )
        )
        try:
            return result.result()
        except BaseException:
            result.cancel()  # Ctrl-C came while it was waited for
            raise

    async def predict_async(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Outputs:
        """`predict` for a coroutine; cancelling it takes a call that waits out of the queue."""
        request = InferenceRequest(
            model=_selector(model, version, label),
            inputs=inputs,
            signature=signature,
            outputs=outputs,
            parameters=parameters or {},
            deadline=_deadline(timeout),
        )
        return await asyncio.wrap_future(self._submit(request))

    def models(self) -> dict[str, list[VersionStatus]]:
        """All models by name, each with its versions and their states, the oldest first."""
        found: dict[str, list[VersionStatus]] = {}
        for one in self._in_use().service.versions():
            found.setdefault(one.model, []).append(one)
        return found

    def reload(self) -> None:
        """Serve what is on disk now; each new or changed version was tried when this returns.

        As with ``watch``, what is replaced answers until its successor is ready, and stays where that fails.
        """
        self._in_use().places.reload()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.open)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied: an open repository holds what belongs to its process."""
        raise TypeError(
            "a repository cannot be pickled or copied, for it holds threads and models of its process; give its places "
            "and settings to the other process, and open one there; threads may share it"
        )

    def __repr__(self) -> str:
        state = "closed" if self._opened is None else ", ".join(self.models()) or "no models"
        return f"<Repository {', '.join(repr(os.fspath(one)) for one in self._places)}: {state}>"

    def _in_use(self) -> "_Opened":
        opened = self._opened
        if opened is None:
            raise RepositoryClosed("is not open")
        if opened.process != os.getpid():  # threads do not survive a fork
            raise RepositoryClosed("was opened before this process was forked: open it in each process")
        return opened

    def _submit(self, request: InferenceRequest) -> Future[Outputs]:
        opened = self._in_use()
        return opened.loop.submit(opened.infer(request))


class _Opened:
    """What a repository holds while it is open."""

    def __init__(self, places: ServedPlaces) -> None:
        self.places = places
        self.service = LocalService(places.repository)
        self.process = os.getpid()
        self.loop = LoopThread("mlbuffet-repository")
        self._is_closed = False

    def load(self) -> None:
        """Load the models, and begin to follow them. Raises as `ServedPlaces.check_loaded`."""
        self.loop.submit(self._start()).result()
        self.places.repository.load_all()
        self.places.check_loaded()
        self.places.follow()

    def close(self) -> None:
        """Unload the models."""
        if self.process != os.getpid():
            return
        self.places.unfollow()
        self.places.repository.close()
        self.loop.submit(self.places.repository.cache.close()).result()
        self._is_closed = True
        self.loop.close()

    async def infer(self, request: InferenceRequest) -> Outputs:
        """The outputs of one call, whose inputs may be lists, before its deadline."""
        try:
            return await within(request.deadline, self._infer(request))
        except asyncio.CancelledError:
            if self._is_closed:
                raise RepositoryClosed("was closed") from None
            raise

    async def _infer(self, request: InferenceRequest) -> Outputs:
        with await self._serve(request.model) as served:
            inputs = request.inputs
            if not _are_arrays(inputs):  # lists may be long
                inputs = await run_sync(partial(_as_declared, served.signatures, request.signature, inputs))
                request = replace(request, inputs=inputs)
            return dict((await served.infer(request)).outputs)

    async def _serve(self, selector: ModelSelector) -> LocalModel:
        try:
            return await self.service.serve(selector)
        except ModelNotReady as error:  # its message is for clients of a server
            raise error from self.places.repository.get(error.name, error.version).error

    async def _start(self) -> None:
        current_default_thread_limiter()  # anyio imports its backend then, and not at a call
        self.places.repository.cache.start()


def _selector(model: str, version: int | None, label: str | None) -> ModelSelector:
    if version is not None and label is not None:
        raise InvalidInput("a call names a version or a label, and not both")
    if version is not None and type(version) is not int:
        if isinstance(version, bool) or not isinstance(version, SupportsIndex):
            raise TypeError(f"version is {version!r}; it is the number of a version, such as 1, or None")
        version = index(version)  # numpy's integers
    return ModelSelector(model, version, label)


def _deadline(timeout: float | None) -> Deadline | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(f"timeout is {timeout!r}; it is a number of seconds, or None")
    if isnan(timeout):
        raise ValueError("timeout is NaN; it is a number of seconds, or None")
    return Deadline.after(float(timeout))


def _are_arrays(inputs: Mapping[str, Any]) -> bool:
    return type(inputs) is dict and all(type(array) is np.ndarray for array in inputs.values())


def _as_declared(signatures: Signatures, signature: str | None, inputs: Mapping[str, Any]) -> Tensors:
    """``inputs`` as the arrays that the signature declares. Raises `InvalidInput`."""
    return signatures[signatures.resolve(signature)].variant_for(inputs).check_inputs(inputs)

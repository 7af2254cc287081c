"""The interface between the protocols and the models, wherever those are."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

from mlbuffet.inference.deadline import within
from mlbuffet.inference.request import InferenceRequest, InferenceResult, ModelSelector, check_request
from mlbuffet.repository import State
from mlbuffet.scheduling import Batching
from mlbuffet.telemetry.version_statistics import VersionCounts
from mlbuffet.tensors import Signatures


class VersionStatus(NamedTuple):
    """The state of a version of a model."""

    model: str
    version: int
    state: State
    reason: str
    """Why it is not ready, or why its older content is served and not the new one, fit for a client; else empty."""
    retired: bool
    """Whether it will not be ready again, but for a new load."""
    retry_after: float | None
    """In how many seconds it may be ready; ``None`` where waiting is of no use."""


class ModelDescription(NamedTuple):
    """The metadata of a version that is loaded."""

    model: str
    version: int
    runtime: str
    platform: str
    """The runtime's name among model servers, such as ``onnxruntime_onnx``."""
    signatures: Signatures
    ready_versions: Sequence[int]
    """All versions of the model that are ready, the oldest first."""
    batching: Batching | None
    """How calls of the default signature are batched, if they are."""


class ServedModel(Protocol):
    """A version that stays loaded for one request, until its ``with`` block ends.

    The end of the block counts the request, if it is to be counted, and the time until then: as a failure where the
    block raises, as a success where a call has a result.
    """

    model: str
    version: int
    signatures: Signatures

    async def infer(self, request: InferenceRequest) -> InferenceResult:
        """The result of ``request``, whose deadline the caller enforces: cancelling takes it out of the queue.

        Nobody else holds the inputs against the signature (`mlbuffet.Signature.check_inputs`, ``check_outputs``), or
        the outputs. Raises what `mlbuffet.Model.predict` raises, and `Overloaded`.
        """
        ...

    def infer_now(self, request: InferenceRequest) -> InferenceResult | None:
        """The result of a request that need not wait; ``None`` for one that needs `infer`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None: ...


class InferenceService(Protocol):
    """Models by name, for requests of any protocol; its methods are called on one event loop.

    They raise only `MLBuffetError`: `ModelNotFound` and `ModelNotReady` for a selector, and what each documents.
    ``counted`` is whether a request counts in `statistics`, as those of the Open Inference Protocol and of programs do.
    """

    def admit(self, selector: ModelSelector, *, counted: bool = True) -> tuple[str, int]:
        """Name and number of the version that a selector means. Raises `Overloaded` where a call could not even wait.

        A protocol calls this before it reads a body that may be large.
        """
        ...

    def status(self, selector: ModelSelector) -> VersionStatus:
        """The version that a selector means, ready or not."""
        ...

    async def serve(self, selector: ModelSelector, *, counted: bool = True) -> ServedModel:
        """The version that a selector means, for one request; it is loaded first where that is done on demand."""
        ...

    def serve_now(self, selector: ModelSelector, *, counted: bool = True) -> ServedModel | None:
        """The same where `ServedModel.infer_now` is worth trying, and otherwise ``None``. Raises `Overloaded`."""
        ...

    async def infer(self, request: InferenceRequest) -> InferenceResult:
        """The result of a request before its deadline: `serve` and `ServedModel.infer`. Raises `DeadlineExceeded`."""
        check_request(request)

        async def served() -> InferenceResult:
            with await self.serve(request.model) as model:
                return model.infer_now(request) or await model.infer(request)

        return await within(request.deadline, served())

    def infer_now(self, request: InferenceRequest) -> InferenceResult | None:
        """The result of a request that need not wait: `serve_now` and `ServedModel.infer_now`."""
        check_request(request)
        if (model := self.serve_now(request.model)) is None:
            return None
        with model:
            return model.infer_now(request)

    async def describe(self, selector: ModelSelector) -> ModelDescription:
        """The metadata of a version; it is loaded first where that is done on demand."""
        ...

    def check_ready(self, selector: ModelSelector) -> VersionStatus:
        """The version that a selector means. Raises `ModelNotReady`; a version that is loaded on demand is ready."""
        ...

    def versions(self, model: str | None = None) -> Sequence[VersionStatus]:
        """All versions of a model, or of all models, by name and number; may be called in any thread.

        Raises `ModelNotFound`.
        """
        ...

    @property
    def has_started(self) -> bool:
        """Whether the loading of every model that was there at the start was attempted."""
        ...

    def unready(self) -> Sequence[VersionStatus]:
        """The default versions that are not ready, of the models that are to be served."""
        ...

    async def load(self, model: str) -> None:
        """Load the versions of a model that are not. Raises why the latest failed."""
        ...

    async def unload(self, model: str) -> None:
        """Unload all versions of a model, once no call uses them."""
        ...

    async def statistics(self) -> Mapping[tuple[str, int], VersionCounts]:
        """The counts of each version that had a request, by model and number."""
        ...

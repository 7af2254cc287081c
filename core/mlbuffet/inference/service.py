"""What every protocol asks of models, wherever they are."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

from mlbuffet.inference.request import InferenceRequest, InferenceResult, ModelSelector
from mlbuffet.repository import State
from mlbuffet.scheduling import Batching
from mlbuffet.telemetry.version_statistics import ModelStatistics
from mlbuffet.tensors import Signatures


class VersionStatus(NamedTuple):
    """Where a version of a model stands."""

    model: str
    version: int
    state: State
    reason: str
    """Why it does not answer, fit for a client; empty where it does."""
    retired: bool
    """Whether it will not answer again, but for a new load."""
    retry_after: float | None
    """In how many seconds it may answer; ``None`` where waiting is of no use."""


class ModelDescription(NamedTuple):
    """What clients are told of a version that is loaded."""

    model: str
    version: int
    runtime: str
    platform: str
    """The runtime's name among model servers, such as ``onnxruntime_onnx``."""
    signatures: Signatures
    ready_versions: Sequence[int]
    """All versions of the model that answer, the oldest first."""
    batching: Batching | None
    """How calls of the default signature are batched, if they are."""


class ServedModel(Protocol):
    """A version that stays loaded for one request, until the ``with`` block of it ends.

    The end of the block counts the request, if that was wanted, with what it took until then: as a failure where it
    raises, as a success where a call was answered.
    """

    model: str
    version: int
    signatures: Signatures

    async def infer(self, request: InferenceRequest) -> InferenceResult:
        """The answer to ``request``; where that has to wait, cancelling takes it out of the queue.

        Raises what `mlbuffet.Model.predict` raises, `Overloaded` and `DeadlineExceeded`.
        """
        ...

    def infer_now(self, request: InferenceRequest) -> InferenceResult | None:
        """The answer to a request that need not wait; ``None`` for one that is to be given to `infer`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None: ...


class InferenceService(Protocol):
    """Models by name, for requests of whatever protocol; its methods are called on one event loop.

    It raises only `MLBuffetError`: `ModelNotFound` and `ModelNotReady` for what a selector means, besides what is said.
    ``counted`` is whether a request is one of those that `statistics` are about, which are those of the Open Inference
    Protocol and of programs.
    """

    def admit(self, selector: ModelSelector, *, counted: bool = True) -> VersionStatus:
        """The version that would answer. Raises `Overloaded` where a call could not even wait.

        A protocol asks this before it reads a body that may be large.
        """
        ...

    def status(self, selector: ModelSelector) -> VersionStatus:
        """The version that would answer, whether it can or not."""
        ...

    async def serve(self, selector: ModelSelector, *, counted: bool = True) -> ServedModel:
        """The version that answers, for one request; it is loaded first where that is done on demand."""
        ...

    def serve_now(self, selector: ModelSelector, *, counted: bool = True) -> ServedModel | None:
        """The same where `ServedModel.infer_now` is worth asking, and otherwise ``None``. Raises `Overloaded`."""
        ...

    async def infer(self, request: InferenceRequest) -> InferenceResult:
        """The answer to a request that is whole: `serve` and `ServedModel.infer`."""
        ...

    def infer_now(self, request: InferenceRequest) -> InferenceResult | None:
        """The answer to a request that need not wait: `serve_now` and `ServedModel.infer_now`."""
        ...

    async def describe(self, selector: ModelSelector) -> ModelDescription:
        """What clients are told of a version; it is loaded first where that is done on demand."""
        ...

    def check_ready(self, selector: ModelSelector) -> VersionStatus:
        """The version that would answer. Raises `ModelNotReady`; a version that is loaded on demand is ready."""
        ...

    def versions(self, model: str | None = None) -> Sequence[VersionStatus]:
        """All versions of a model, or of all models, by name and number."""
        ...

    @property
    def has_started(self) -> bool:
        """Whether the loading of every model that was there at the start was attempted."""
        ...

    def unready(self) -> Sequence[VersionStatus]:
        """The default versions of the models that are to be served and cannot answer."""
        ...

    async def load(self, model: str) -> None:
        """Load the versions of a model that are not. Raises why the latest failed."""
        ...

    async def unload(self, model: str) -> None:
        """Release all versions of a model, once no call uses them."""
        ...

    async def statistics(self) -> Mapping[tuple[str, int], ModelStatistics]:
        """What was counted of each version that was asked, by model and number."""
        ...

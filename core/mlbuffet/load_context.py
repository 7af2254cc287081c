"""What a runtime may know about a model that it loads: its name, who gives its options, and the models beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Signatures


class HeldModel(Protocol):
    """One version of a model that another model calls; as a context manager it lets the version go at the end."""

    name: str
    signatures: Signatures

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """As `mlbuffet.Model.predict`, in the thread of the caller."""
        ...

    def __enter__(self) -> "HeldModel": ...

    def __exit__(self, *_: object) -> None: ...


class OtherModel(Protocol):
    """A model that another model calls, under its name: whichever version is its default at that moment."""

    name: str

    @property
    def signatures(self) -> Signatures:
        """What it takes and gives now. Raises `ModelNotReady`."""
        ...

    def held(self) -> HeldModel:
        """The version that is its default now, for several calls; it is not unloaded before it is let go.

        Its ``signatures`` are one object as long as it is the same version. Raises `ModelNotReady`.
        """
        ...

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """As `mlbuffet.Model.predict`, in the thread of the caller; the model is not unloaded meanwhile.

        Raises `ModelNotReady` where it cannot be called.
        """
        ...


class OtherModels(Protocol):
    """The models of a repository, for a model that calls some of them."""

    def __getitem__(self, name: str) -> OtherModel:
        """The model called ``name``, once it is loaded; only while the model that asks is being loaded.

        Raises `LoadFailed` where there is no such model, where it cannot be loaded, or where it calls the one that
        asks, itself or through others.
        """
        ...


class NoOtherModels:
    """Of a model that a program loaded by itself."""

    def __getitem__(self, name: str) -> OtherModel:
        raise LoadFailed(
            f"it calls the model {name!r}, and was loaded by itself: a model can call others of its repository, so "
            "serve the folder that holds both"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadContext:
    """Which model is loaded, and the models that it may call."""

    name: str
    """The name of the model, as clients know it; of one that a program loads by itself, that of its file or folder."""
    version: int | None = None
    """``None`` for an artifact that a program loads by itself, and for one that is tried before it gets a number."""
    options_folder: Path | None = None
    """That of the ``model.toml`` that gives options: a file that they name and that is run must lie in or below it.

    ``None`` where a program or a command line gives them, which may name any.
    """
    is_upload: bool = False
    """Whether a client of a server sent the artifact: what runs code that it holds asks first who allows that."""
    models: OtherModels = field(default_factory=NoOtherModels)

"""How the models of a repository are found, kept in memory and called."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypedDict, TypeVar

from msgspec import Meta, ValidationError, convert

from mlbuffet.caching import MemoryCache, PredictionCache, RedisCache
from mlbuffet.caching.memory import CAPACITY
from mlbuffet.isolation.process_settings import Isolation
from mlbuffet.options_type import problem_of
from mlbuffet.repository.eviction import Residency
from mlbuffet.runtime_choice import Preference
from mlbuffet.scheduling import Limits

T = TypeVar("T")


class RepositoryOptions(TypedDict, total=False):
    """The fields of `RepositorySettings` as keywords, each of which may be left out."""

    runtime: str | None
    prefer: Sequence[str]
    watch: bool
    lazy: bool
    max_loaded: int | None
    max_memory: int | None
    cache_memory: int
    cache_redis: str | None
    batching: bool
    max_concurrency: int | None
    max_queue: int | None
    isolate: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RepositorySettings:
    """What `mlbuffet serve` takes about models, by the names of its flags."""

    runtime: str | None = None
    """The runtime to take where several accept a model, or none does."""
    prefer: tuple[str, ...] = ()
    """The runtimes to take where several accept a model, the first of these first."""
    watch: bool = False
    """Whether changes on disk are followed."""
    lazy: bool = False
    """Whether a model is loaded when it is first used."""
    max_loaded: Annotated[int, Meta(ge=1)] | None = None
    """How many versions are in memory at most; a limit implies ``lazy``."""
    max_memory: Annotated[int, Meta(ge=0)] | None = None
    """How many bytes the files of the versions in memory have at most; likewise."""
    cache_memory: Annotated[int, Meta(ge=0)] = CAPACITY
    """How many bytes of memory the responses of models with a ``[cache]`` take at most."""
    cache_redis: str | None = None
    """The URL of a Redis in which several processes share responses."""
    batching: bool = False
    """Whether every model is batched that can be."""
    max_concurrency: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """How many calls of a model run at once, where its ``model.toml`` says nothing."""
    max_queue: Annotated[int, Meta(ge=0, le=10**6)] | None = None
    """How many more may wait; likewise."""
    isolate: bool = False
    """Whether every model runs in a process of its own."""

    @property
    def preference(self) -> Preference | None:
        """What both say of many models: ``runtime`` goes first, and is the last resort."""
        if self.runtime is not None:
            return Preference((self.runtime, *self.prefer), last_resort=self.runtime)
        return Preference(self.prefer) if self.prefer else None

    @property
    def residency(self) -> Residency:
        """Which models are in memory."""
        return Residency(lazy=self.lazy, max_loaded=self.max_loaded, max_memory=self.max_memory)

    @property
    def limits(self) -> Limits:
        """Of the models whose ``model.toml`` has none."""
        return Limits(self.max_concurrency, self.max_queue)

    def isolation(self, timeout: float | None) -> Isolation:
        """Which models run in processes of their own; a call that takes longer than ``timeout`` seconds ends one."""
        return Isolation(of_all=self.isolate, timeout=timeout)

    def make_cache(self) -> PredictionCache:
        """A cache for one process. Raises ``ValueError`` for an invalid URL."""
        redis = None if self.cache_redis is None else RedisCache(self.cache_redis)
        return PredictionCache(MemoryCache(self.cache_memory), redis)


def check_names(function: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise ``TypeError`` where a keyword of ``function`` is not ``known``, as Python does, with those that are."""
    for name in given:
        if name not in known:
            raise TypeError(f"{function} has no setting {name!r}; the settings are: {', '.join(sorted(known))}")


def settings_of(kind: type[T], function: str, options: Mapping[str, object], *, strict: bool = True) -> T:
    """Keywords of ``function`` as settings; without ``strict`` numbers and booleans may be text.

    Raises ``ValueError`` for one of another type, or out of range.
    """
    try:
        return convert(options, kind, strict=strict)
    except ValidationError as error:
        raise ValueError(f"{function}: {problem_of(error)}") from None

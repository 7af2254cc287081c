"""A model that is served: what is on disk of it, its versions in memory, and which of them is the default."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mlbuffet.repository.layout import StoredModel
from mlbuffet.repository.version_lifecycle import ModelVersion, State


@dataclass
class ModelVersions:
    """Its methods take versions in and out; the caller retires those that they return."""

    stored: StoredModel
    versions: dict[int, ModelVersion] = field(default_factory=dict)
    successors: dict[int, ModelVersion] = field(default_factory=dict)
    """Versions whose content has changed: each replaces the one of its number when it is ready."""
    default: int | None = None
    """The chosen version, for requests that name none; ``None``: the latest that is ready."""
    unloaded: bool = False
    """Whether a client unloaded it; then it stays so until a client loads it."""

    @property
    def all_versions(self) -> list[ModelVersion]:
        """Its versions, and those that are to replace them."""
        return [*self.versions.values(), *self.successors.values()]

    def has(self, *states: State) -> bool:
        """Whether a version is in one of ``states``."""
        return any(version.state in states for version in self.versions.values())

    def place(self, version: ModelVersion) -> ModelVersion | None:
        """Take ``version`` in, as a successor where one of its number is ready; what it replaces, if anything."""
        serving = self.versions.get(version.version)
        is_ready = serving is not None and serving.state is State.READY and not self.unloaded
        places = self.successors if is_ready else self.versions
        replaced = places.get(version.version)
        places[version.version] = version
        return replaced

    def take_removed(self) -> list[ModelVersion]:
        """Take out what is not on disk any more."""
        on_disk = {one.version for one in self.stored.versions}
        return [places.pop(number) for places in (self.versions, self.successors) for number in places.keys() - on_disk]

    def take_superseded(self) -> list[ModelVersion]:
        """Take out unwanted versions: those not ready immediately, ready ones when all wanted versions are ready."""
        wanted, versions = self.stored.wanted, self.versions
        ready = {number for number, version in versions.items() if version.state is State.READY}
        complete = self.unloaded or wanted.keys() <= ready
        return [versions.pop(number) for number in versions.keys() - wanted.keys() if complete or number not in ready]

    def choose_default(self, answers: Callable[[ModelVersion], bool]) -> None:
        """Make the chosen version the default as soon as it can answer; until then the default stays."""
        number = self.stored.default
        chosen = None if number is None else self.versions.get(number)
        if chosen is None:
            self.default = None
        elif answers(chosen) or not any(answers(one) for one in self.versions.values()):
            self.default = chosen.version

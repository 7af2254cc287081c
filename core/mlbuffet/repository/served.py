"""A model that is served: what is on disk of it, its versions in memory, and which of them is the default."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.layout import StoredModel, StoredVersion
from mlbuffet.repository.version import ModelVersion, State


@dataclass
class ServedModel:
    """Its methods change what is remembered; whoever calls them retires what they return."""

    stored: StoredModel
    versions: dict[int, ModelVersion] = field(default_factory=dict)
    successors: dict[int, ModelVersion] = field(default_factory=dict)
    """Versions whose content has changed: each replaces the one of its number when it is ready."""
    default: int | None = None
    """The chosen version that answers requests that name none; ``None``: the latest that is ready does."""
    unloaded: bool = False
    """Whether a client unloaded it; then it stays so until a client loads it."""

    @property
    def wanted(self) -> dict[int, StoredVersion]:
        """Those of its versions on disk that are to be served."""
        return self.stored.wanted

    @property
    def configuration(self) -> Configuration:
        """What a person says about it."""
        return self.stored.configuration

    @property
    def everyone(self) -> list[ModelVersion]:
        """Its versions, and those that are to replace them."""
        return [*self.versions.values(), *self.successors.values()]

    def has(self, *states: State) -> bool:
        """Whether a version is in one of ``states``."""
        return any(version.state in states for version in self.versions.values())

    def place(self, version: ModelVersion) -> ModelVersion | None:
        """Take ``version`` in, as a successor where one of its number answers; what it replaces, if anything."""
        serving = self.versions.get(version.version)
        answers = serving is not None and serving.state is State.READY and not self.unloaded
        places = self.successors if answers else self.versions
        replaced = places.get(version.version)
        places[version.version] = version
        return replaced

    def succeed(self, version: ModelVersion) -> ModelVersion:
        """Let a successor answer; what it replaces."""
        replaced = self.versions[version.version]
        self.versions[version.version] = self.successors.pop(version.version)
        return replaced

    def take_gone(self) -> list[ModelVersion]:
        """Take out what is not on disk any more."""
        on_disk = {one.version for one in self.stored.versions}
        gone = [self.versions.pop(number) for number in set(self.versions) - on_disk]
        return gone + [self.successors.pop(number) for number in set(self.successors) - on_disk]

    def take_superseded(self) -> list[ModelVersion]:
        """Take out what is not wanted, once all that is wanted is ready; what is not ready at once."""
        wanted = self.wanted
        complete = self.unloaded or all(
            number in self.versions and self.versions[number].state is State.READY for number in wanted
        )
        superseded = [
            number
            for number in set(self.versions) - set(wanted)
            if complete or self.versions[number].state is not State.READY
        ]
        return [self.versions.pop(number) for number in superseded]

    def choose_default(self, answers: Callable[[ModelVersion], bool]) -> None:
        """Let the chosen version answer as soon as it can; until then those that answered before do."""
        number = self.stored.default
        chosen = None if number is None else self.versions.get(number)
        if chosen is None:
            self.default = None
        elif answers(chosen) or not any(answers(one) for one in self.versions.values()):
            self.default = chosen.version

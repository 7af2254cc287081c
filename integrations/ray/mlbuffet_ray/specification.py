"""What every process of an application is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint

from mlbuffet.repository import RepositorySettings
from mlbuffet.runtimes import Runtimes, installed_runtimes
from mlbuffet.server import ServerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """The places of the models, and how they are served."""

    places: tuple[str, ...]
    """Absolute paths, and URLs, that every node can read."""
    runtimes: Mapping[str, str] | None
    """The addresses of plugins, as ``module:Class``, by the names of their runtimes; ``None``: those installed."""
    repository: RepositorySettings
    server: ServerSettings
    own: frozenset[str]
    """The models that have a deployment of their own; all others are served by the front."""

    def make_runtimes(self) -> Runtimes:
        """The runtimes to choose from, in this process."""
        if self.runtimes is None:
            return installed_runtimes()
        runtimes = Runtimes()
        for name, address in self.runtimes.items():
            runtimes.register(EntryPoint(name, address, "mlbuffet").load(), name=name)
        return runtimes

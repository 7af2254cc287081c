"""The paths whose models are served, looked through again and again."""

import logging
from collections.abc import Sequence
from pathlib import Path

from mlbuffet.errors import DuplicateModel, NoModels
from mlbuffet.repository.layout import StoredModel, find_models, merged
from mlbuffet.runtimes import Runtimes

logger = logging.getLogger(__name__)


class Sources:
    """Paths, each a model or a folder of models; what is ignored there is told once."""

    def __init__(self, paths: Sequence[Path], runtimes: Runtimes, runtime: str | None = None) -> None:
        self.paths = paths
        self._runtimes = runtimes
        self._runtime = runtime
        self._told: set[str] = set()

    def find(self, *, may_be_empty: bool = False) -> list[StoredModel]:
        """The models at all paths, by name. Raises as `find_models` does, and `DuplicateModel`.

        With ``may_be_empty`` a folder without models is no error: they may come.
        """
        models = merged(model for path in self.paths for model in self._in(path, may_be_empty=may_be_empty))
        for model in models:
            if isinstance(model.error, DuplicateModel) and not may_be_empty:
                raise model.error
        return models

    def _in(self, path: Path, *, may_be_empty: bool) -> list[StoredModel]:
        try:
            return find_models(path, self._runtimes, self._runtime, self._warn)
        except NoModels:
            if not may_be_empty:
                raise
            return []

    def _warn(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            logger.warning(what)

"""The places whose models are served."""

import logging
import re
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from mlbuffet.errors import DuplicateModel, InvalidPlace, NoModels
from mlbuffet.repository.layout import Finder, StoredModel, find_models
from mlbuffet.repository.named_place import NamedPlace
from mlbuffet.repository.remote import RemoteFolder
from mlbuffet.runtime_choice import Preference, Wanted
from mlbuffet.runtimes import Runtimes

_VERSION = re.compile(r"(?P<folder>.*/(?P<model>[^/]+))/(?P<number>[0-9]+)(/model\.[^/]*)?")

logger = logging.getLogger(__name__)


class Sources:
    """Paths and remote folders, each a model or a folder of models; what is ignored there is logged once.

    Raises `InvalidPlace` where two have one name.
    """

    def __init__(
        self, places: Sequence[Path | RemoteFolder | NamedPlace], runtimes: Runtimes, runtime: Wanted = None
    ) -> None:
        self._names = _names(places)
        """That of each place, if it was given one."""
        plain = [one.place if isinstance(one, NamedPlace) else one for one in places]
        self._remote = [place for place in plain if isinstance(place, RemoteFolder)]
        self.paths = [place.path if isinstance(place, RemoteFolder) else place for place in plain]
        self._addresses = {path: str(path.absolute()) for path in self.paths}
        self._addresses.update({folder.path: folder.url.rstrip("/") for folder in self._remote})
        self.runtimes = runtimes
        self.preference = Preference.of(runtime)
        self.finder = Finder(runtimes, self.preference)
        self._warned: set[str] = set()

    def find(self, *, may_be_empty: bool = False) -> list[StoredModel]:
        """The models at all paths, by name.

        Raises as `find_models` does, `RemoteFailed`, and `DuplicateModel` where two paths have one version and no
        preference decides; where one path has it twice, that is the error of the model alone.

        With ``may_be_empty`` a folder without models is no error: they may come.
        """
        for folder in self._remote:
            folder.refresh()
        found: list[StoredModel] = []
        for path, name in zip(self.paths, self._names, strict=True):
            with suppress(NoModels) if may_be_empty else nullcontext():
                found += self._in(path, name)
        models = Finder(self.runtimes, self.preference, self._warn).merged(found)
        known = [model.error for model in found]
        for model in models:
            if isinstance(model.error, DuplicateModel) and model.error not in known and not may_be_empty:
                raise model.error
        return models

    @property
    def on_disk(self) -> list[Path | NamedPlace]:
        """The places for another process of this machine, with the copies of those that are remote."""
        pairs = [(path.absolute(), name) for path, name in zip(self.paths, self._names, strict=True)]
        return [path if name is None else NamedPlace(name, path) for path, name in pairs]

    @property
    def writable(self) -> Path | None:
        """The first path of this machine that is a folder of models, to which models can be added; ``None`` without.

        What is served under a name that it was given is one model.
        """
        copies = {folder.path for folder in self._remote}
        unnamed = (path for path, name in zip(self.paths, self._names, strict=True) if name is None)
        local = (path for path in unnamed if path not in copies)
        return next((path for path in local if self.finder.is_folder_of_models(path)), None)

    def _in(self, path: Path, name: str | None) -> list[StoredModel]:
        models = find_models(path, self.runtimes, self.preference, self._warn, name)
        if name is not None:
            return models
        address = self._addresses[path]
        if len(models) == 1 and (found := _VERSION.fullmatch(address)):  # it may be meant as a version of a model
            self._warn(
                f"'{address}' is served as the model {models[0].name!r}, and looks like a version of the model "
                f"{found['model']!r}: to serve it as that, serve '{found['folder']}'"
            )
        return models

    def _warn(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            logger.warning(what)


def _names(places: Sequence[Path | RemoteFolder | NamedPlace]) -> list[str | None]:
    names = [one.name if isinstance(one, NamedPlace) else None for one in places]
    for place, name in zip(places, names, strict=True):
        if isinstance(place, NamedPlace) and names.count(name) > 1:
            reason = f"{names.count(name)} places are called {name!r}; versions of one model lie in one folder"
            raise InvalidPlace(f"{name}=...", reason)
    return names

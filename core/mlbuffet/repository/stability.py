"""What has come to rest on disk: a version that is still being written is none yet."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mlbuffet.errors import MLBuffetError
from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.layout import StoredModel, StoredVersion

STILL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Told:
    """What a model's ``model.toml`` says, and which version was chosen as its default."""

    configuration: Configuration
    error: MLBuffetError | None
    default: int | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Told) and (self.configuration, str(self.error), self.default) == (
            other.configuration,
            str(other.error),
            other.default,
        )

    __hash__ = None  # type: ignore[assignment]


_Item = StoredVersion | _Told
_Key = tuple[str, int | None]
"""A model's name and a version; without a version it is what the model is told."""
_Items = dict[_Key, _Item]


class StabilityCheck:
    """The models at rest: each version and configuration as it last was for a second, or was renamed into place.

    A removal has to last as long, so that one thing put in the place of another is a change.
    """

    def __init__(self, models: Iterable[StoredModel], still_seconds: float = STILL_SECONDS) -> None:
        self._settled = _items(models)
        self._still_seconds = still_seconds
        self._seen: dict[_Key, tuple[_Item | None, float]] = {}

    @property
    def models(self) -> list[StoredModel]:
        """All that is at rest."""
        return _models(self._settled)

    @property
    def waiting(self) -> bool:
        """Whether something was seen that is not at rest."""
        return bool(self._seen)

    def observe(self, models: Iterable[StoredModel], now: float) -> list[StoredModel] | None:
        """All that is at rest, given what is on disk at the moment ``now``, in seconds; ``None`` if nothing changed."""
        current = _items(models)
        changed = False
        for key in current.keys() | self._settled.keys():
            item = current.get(key)
            if item == self._settled.get(key):
                self._seen.pop(key, None)
                continue
            before, since = self._seen.get(key, (None, now))
            if key not in self._seen or before != item:
                since = now
            self._seen[key] = (item, since)
            if now - since >= self._still_seconds or self._is_whole(key, item):
                changed = True
                del self._seen[key]
                if item is None:
                    del self._settled[key]
                else:
                    self._settled[key] = item
        return self.models if changed else None

    def take(self, name: str, version: int | None, found: StoredModel | None) -> None:
        """Count the default, and one version, of a model as at rest, as they were ``found``."""
        if found is not None:
            told = self._settled.get((name, None), _told(found))
            assert isinstance(told, _Told)
            self._settled[name, None] = replace(told, default=found.default)
        if version is not None:
            stored = next((one for one in found.versions if one.version == version), None) if found else None
            if stored is None:
                self._settled.pop((name, version), None)
            else:
                self._settled[name, version] = stored
            self._seen.pop((name, version), None)
        self._seen.pop((name, None), None)

    def _is_whole(self, key: _Key, item: _Item | None) -> bool:
        if isinstance(item, StoredVersion):
            return item.fingerprint is not None and item.fingerprint.renamed
        return item is not None and key not in self._settled  # of a new model, whose versions have to settle


def _items(models: Iterable[StoredModel]) -> _Items:
    items: _Items = {}
    for model in models:
        items[model.name, None] = _told(model)
        items.update({(model.name, stored.version): stored for stored in model.versions})
    return items


def _told(model: StoredModel) -> _Told:
    return _Told(model.configuration, model.error, model.default)


def _models(items: _Items) -> list[StoredModel]:
    found = []
    for name in sorted({name for name, _ in items}):
        told = items.get((name, None))
        versions = [item for (owner, number), item in items.items() if owner == name and number is not None]
        if versions and isinstance(told, _Told):
            kept = tuple(sorted((one for one in versions if isinstance(one, StoredVersion)), key=_number))
            found.append(StoredModel(name, kept, told.configuration, told.error, told.default))
    return found


def _number(stored: StoredVersion) -> int:
    return stored.version

"""One model from its folder, for a program without a server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlbuffet.artifact import check_artifact
from mlbuffet.errors import InvalidConfiguration, MLBuffetError
from mlbuffet.model import Model
from mlbuffet.repository.configuration import FILE_NAME, Configuration
from mlbuffet.repository.layout import Finder, StoredModel, StoredVersion
from mlbuffet.repository.load_settings import load_settings
from mlbuffet.repository.warmup import with_default_signature
from mlbuffet.runtimes import Runtimes


def load_model(folder: Path, runtimes: Runtimes, runtime: str | None, options: Mapping[str, Any]) -> Model:
    """The default version of the model in ``folder``, which may be an artifact itself.

    ``runtime`` and ``options`` go before those of its ``model.toml``. Raises what `load_artifact` does, and
    `InvalidConfiguration` or `DuplicateModel` for a folder that cannot be served either.
    """
    stored = Finder(runtimes, runtime).model(folder) or StoredModel(folder.name, ())
    if stored.error is not None:
        raise stored.error
    version = _default(folder, stored)
    place = (version.place if version else None) or folder
    if place == folder:
        check_artifact(folder)
    configuration = stored.configuration
    upload = version.upload if version else None
    if runtime is not None:  # what was said for another runtime is not meant for this one
        configuration = configuration if configuration.runtime in (None, runtime) else Configuration()
        upload = upload if upload and upload.runtime in (None, runtime) else None
    settings = load_settings(folder, configuration, upload, options, runtime)
    model = settings.load(Finder(runtimes, settings.runtime).artifact(place), runtimes)
    try:
        return with_default_signature(model, configuration)
    except MLBuffetError:
        model.close()
        raise


def _default(folder: Path, stored: StoredModel) -> StoredVersion | None:
    """The default version; ``None`` where the folder has none."""
    if not stored.versions:
        return None
    served = stored.wanted
    if not served:
        numbers = ", ".join(str(one.version) for one in stored.versions)
        raise InvalidConfiguration(folder / FILE_NAME, f"versions: none of those there are is selected: {numbers}")
    number = stored.default if stored.default in served else max(served)
    return served[number]

"""Models for a program without a server: at a path or a URL, an artifact or the folder of a model."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mlbuffet.artifact import check_artifact, check_path, readable
from mlbuffet.errors import LoadFailed, NoRuntime, UnknownRuntime
from mlbuffet.load_context import LoadContext, NoOtherModels, OtherModels
from mlbuffet.model import Model, load_artifact
from mlbuffet.pickles import pickle_risks
from mlbuffet.places import place_of
from mlbuffet.risks import Risk
from mlbuffet.runtime_choice import RuntimeChoice, Wanted
from mlbuffet.runtimes import Runtimes, installed_runtimes


def load(
    path: str | os.PathLike[str],
    *,
    runtime: str | Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    runtimes: Runtimes | None = None,
) -> Model:
    """Load the artifact at ``path``, a file or a folder, or the folder of a model; a URL is copied to this machine.

    Of the folder of a model its default version is loaded, with the runtime, the options and the default signature of
    its ``model.toml``. ``runtime`` names the runtime to use, or several, of which the first that accepts the artifact
    is taken; without it the only one that accepts it is. ``options`` are that runtime's own, and go before those of
    ``model.toml``. ``runtimes`` are the runtimes to choose from; without it those installed.

    Raises `ArtifactNotFound`, `ArtifactUnreadable`, `NoRuntime`, `NotOneArtifact`, `AmbiguousRuntime`,
    `InvalidConfiguration`, `InvalidOptions`, `LoadFailed`, or `RemoteFailed` where a URL cannot be copied; and
    ``TypeError`` for what is no path and no URL, and for options that are no mapping.
    """
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"options are values by name, such as {{'threads': 2}}, not {type(options).__name__}")
    return load_from(path, installed_runtimes() if runtimes is None else runtimes, runtime, options or {})


def load_from(
    path: str | os.PathLike[str],
    runtimes: Runtimes,
    runtime: Wanted = None,
    options: Mapping[str, Any] | None = None,
    others: OtherModels | None = None,
) -> Model:
    """As `load`; a `Preference` decides where several accept, and goes after ``model.toml``.

    ``others`` are the models that it may call.
    """
    others = others or NoOtherModels()
    with _on_disk(path) as place:
        if not place.is_dir():
            context = LoadContext(name=place.stem, models=others)
            return load_artifact(place, runtimes, runtime, options or {}, context=context)
        from mlbuffet.repository.single import load_model  # most programs load files, and need none of it

        with readable(place):
            return load_model(place, runtimes, runtime, options or {}, others)


def which(
    path: str | os.PathLike[str],
    *,
    runtime: str | Sequence[str] | None = None,
    runtimes: Runtimes | None = None,
) -> RuntimeChoice:
    """Which runtimes accept what `load` would load from ``path``, which of them it takes, and why others do not.

    The arguments are those of `load`. No model is loaded. Raises `ArtifactNotFound`, `ArtifactUnreadable`,
    `InvalidConfiguration`, `DuplicateModel` or `RemoteFailed`, where there is nothing to ask about.
    """
    found = installed_runtimes() if runtimes is None else runtimes
    wanted: Wanted = runtime
    with _on_disk(path) as artifact, readable(artifact):
        if artifact.is_dir():
            from mlbuffet.repository.single import find_artifact

            in_folder = find_artifact(artifact, found, runtime)
            artifact, wanted = in_folder.path, in_folder.runtime
        check_artifact(artifact)
        return found.choice(artifact, wanted)


class Scan(NamedTuple):
    """What an artifact can do besides computing."""

    path: Path
    runtime: str | None
    """``None`` where no runtime accepts it, and nothing but its pickles was looked at."""
    risks: list[Risk]


def scan(
    path: str | os.PathLike[str], runtimes: Runtimes, runtime: Wanted = None, options: Mapping[str, Any] | None = None
) -> Scan:
    """What `load_from` would load from ``path`` can do besides computing; nothing of it is run.

    Raises as `which` does, and `AmbiguousRuntime`, `UnknownRuntime`, `InvalidOptions` and `LoadFailed`.
    """
    given: Mapping[str, Any] = options or {}
    from_client: Mapping[str, Any] = {}
    with _on_disk(path) as artifact, readable(artifact):
        if artifact.is_dir():
            from mlbuffet.repository.load_settings import load_settings
            from mlbuffet.repository.single import find_artifact

            found = find_artifact(artifact, runtimes, runtime)
            settings = load_settings(artifact, found.configuration, found.upload, given, None)
            artifact, runtime = found.path, found.runtime
            given, from_client = settings.options, settings.client_options
        check_artifact(artifact)
        try:
            chosen = runtimes.select(artifact, runtime)
        except (NoRuntime, LoadFailed) as error:
            if isinstance(error, UnknownRuntime) or not (risks := list(pickle_risks(artifact, in_archives=True))):
                raise
            return Scan(artifact, None, risks)
        return Scan(artifact, chosen.name, chosen.risks(artifact, chosen.combined_options(given, from_client)))


@contextmanager
def _on_disk(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The path, of a copy where it is a URL, which stays as it is for that long."""
    place = place_of(path)
    if isinstance(place, Path):
        check_path(place)
        yield place
        return
    from mlbuffet.repository.remote import RemoteFolder, default_cache

    with RemoteFolder(place, default_cache()).held() as copy:
        yield copy

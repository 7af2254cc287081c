"""The runtime and the options of a version: its owner, the client that sent it and the command line each give some."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlbuffet.load_context import LoadContext
from mlbuffet.model import Model, load_artifact
from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.received_upload import Provenance
from mlbuffet.runtime_choice import Preference, Wanted
from mlbuffet.runtimes import Runtime, Runtimes


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """What counts: for options the command line, then ``model.toml``, then the client, then the runtime's defaults."""

    runtime: Wanted
    options: Mapping[str, Any]
    client_options: Mapping[str, Any]
    options_folder: Path | None
    """The folder of the ``model.toml`` that gives some of ``options``."""
    is_upload: bool
    """Whether a client sent the version."""

    def load(
        self,
        path: Path,
        runtimes: Runtimes,
        context: LoadContext,
        through: Callable[[Runtime], Runtime] = lambda runtime: runtime,
    ) -> Model:
        """The artifact at ``path``, with what ``through`` gives for its runtime. Raises as `load_artifact` does."""
        known = replace(context, options_folder=self.options_folder, is_upload=self.is_upload)
        given = self.client_options
        return load_artifact(
            path, runtimes, self.runtime, self.options, client_options=given, context=known, through=through
        )


def load_settings(
    folder: Path,
    configuration: Configuration,
    upload: Provenance | None,
    given: Mapping[str, Any],
    preference: Preference | None,
) -> LoadSettings:
    """How to load a version of the model in ``folder``.

    ``upload`` is what a client said, if one sent it; ``given`` are the options of the command line for this model, and
    ``preference`` is for models that name no runtime.
    """
    from_file = configuration.options.keys() - given.keys()
    return LoadSettings(
        runtime=configuration.runtime or (upload.runtime if upload else None) or preference,
        options={**configuration.options, **given},
        client_options=upload.options if upload else {},
        options_folder=folder if from_file else None,
        is_upload=upload is not None,
    )

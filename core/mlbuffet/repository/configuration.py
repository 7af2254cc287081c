"""``model.toml``: the configuration of one model."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from mlbuffet.artifact import special_kind
from mlbuffet.errors import InvalidConfiguration
from mlbuffet.isolation.process_settings import ProcessSettings
from mlbuffet.repository.replicas import Replicas
from mlbuffet.scheduling import Batching, Limits
from mlbuffet.version_numbers import LARGEST

FILE_NAME = "model.toml"
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_VERSIONS = 'write versions = "all", "latest", {latest = 2} or [1, 3]'

Number = Annotated[int, Meta(ge=0, le=LARGEST)]
Label = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class Latest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many of the newest versions."""

    latest: Annotated[int, Meta(ge=1, le=LARGEST)]


class WarmUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The calls that a version answers after it was loaded and before it is ready."""

    inputs: Annotated[
        dict[str, Any] | None, Meta(description="Values by name; without them zeros that fit the signature.")
    ] = None
    signature: Annotated[str | None, Meta(description="The signature to call; else the default.")] = None
    repeat: Annotated[int, Meta(ge=1, le=1000, description="How often.")] = 1


class Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers are kept, and a call that was answered before does not reach the model."""

    seconds: Annotated[float, Meta(gt=0, le=31_536_000, description="How long an answer is kept at most.")] = 86_400.0


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What MLBuffet is told about a model; every key may be left out."""

    description: Annotated[str, Meta(description="What the model is for, as people read it.")] = ""
    runtime: Annotated[
        str | Annotated[tuple[str, ...], Meta(min_length=1)] | None,
        Meta(description="The runtime, or several: the first that accepts the model; else the only one that does."),
    ] = None
    signature: Annotated[str | None, Meta(description="The signature that answers a call that names none.")] = None
    versions: Annotated[
        Literal["all", "latest"] | Latest | Annotated[list[Number], Meta(min_length=1)],
        Meta(description="Which versions to serve: all, the latest, so many of the latest, or those listed."),
    ] = "all"
    labels: Annotated[dict[Label, Number], Meta(description="Names for versions, which are served then.")] = {}
    options: Annotated[dict[str, Any], Meta(description="What the runtime is told; each has options of its own.")] = {}
    warmup: WarmUp | None = None
    scheduling: Limits = Limits()
    cache: Cache | None = None
    batching: Batching | None = None
    process: ProcessSettings | None = None
    replicas: Replicas | None = None

    def selected(self, versions: set[int]) -> set[int]:
        """Those of ``versions`` that are to be served."""
        match self.versions:
            case "all":
                return versions
            case "latest":
                chosen = {max(versions, default=0)}
            case Latest(count):
                chosen = set(sorted(versions)[-count:])
            case listed:
                chosen = set(listed)
        return versions & (chosen | set(self.labels.values()))


_TABLES = {
    "versions": Latest,
    "warmup": WarmUp,
    "scheduling": Limits,
    "batching": Batching,
    "cache": Cache,
    "process": ProcessSettings,
    "replicas": Replicas,
}


def read_configuration(path: Path) -> Configuration:
    """The configuration in the file at ``path``. Raises `InvalidConfiguration` with the key, and the valid ones."""
    if kind := special_kind(path):
        raise InvalidConfiguration(path, f"it is {kind}, and no file")
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Configuration)
    except OSError as error:
        raise InvalidConfiguration(path, f"it cannot be read: {(error.strerror or str(error)).lower()}") from error
    except msgspec.ValidationError as error:
        raise _explained(path, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(path, f"it is not TOML: {error}") from None


def schema_text() -> str:
    """The JSON schema of the file, with which editors complete and check it."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"MLBuffet's {FILE_NAME}",
        **msgspec.json.schema(Configuration),
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def _explained(path: Path, message: str) -> InvalidConfiguration:
    """msgspec's message as one that names the key and, where it is unknown, those there are."""
    what, _, place = message.rpartition(" - at ") if " - at " in message else (message, "", "")
    key = place.removeprefix("`key` in ").strip("`").removeprefix("$").removeprefix(".").removesuffix("[...]")
    if unknown := _UNKNOWN.fullmatch(what):
        struct = _TABLES.get(key, Configuration)
        return InvalidConfiguration(path, f"unknown key {f'{key}.{unknown[1]}'.lstrip('.')!r}", get_type_hints(struct))
    what = what[:1].lower() + what[1:].replace("`", "'")
    if key.startswith("versions"):
        what += f"; {_VERSIONS}"
    return InvalidConfiguration(path, f"{'a name in ' if place.startswith('`key`') else ''}{key or 'the file'}: {what}")

"""``--option`` of the commands: for one model, for those of a runtime, or for whoever knows the option."""

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import typer

from mlbuffet.errors import InvalidOptions, UnknownRuntime
from mlbuffet.runtimes import Runtimes

_OPTION = re.compile(r"(?:(?P<runtime>[^:=]+):|(?P<model>[^:=]+)\.)?(?P<key>[^.:=]+)=(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedOptions:
    """The options of a server's models."""

    of_all: Mapping[str, Any]
    """For every runtime that says it has them."""
    of_runtimes: Mapping[str, Mapping[str, Any]]
    of_models: Mapping[str, Mapping[str, Any]]

    def set_defaults(self, runtimes: Runtimes, only: str | None) -> None:
        """Make them the defaults of the runtimes; with ``only``, that one has all that name none.

        Raises `UnknownRuntime`, and `InvalidOptions` for an option that no runtime has, or not the one that is named.
        """
        chosen: dict[str, dict[str, Any]] = {name: dict(options) for name, options in self.of_runtimes.items()}
        for key, value in self.of_all.items():
            for name in [only] if only else _runtimes_with(key, runtimes):
                chosen.setdefault(name, {}).setdefault(key, value)
        for name, options in chosen.items():
            if name not in runtimes:
                raise UnknownRuntime(name, (one.name for one in runtimes), runtimes.broken)
            known = runtimes[name].load_options
            if known is not None and (unknown := options.keys() - set(known)):
                raise InvalidOptions(f"the runtime {name!r} has no {', '.join(sorted(unknown))}", sorted(known))
            runtimes[name].default_options = options

    def unknown_models(self, models: Collection[str], runtimes: Runtimes) -> InvalidOptions | None:
        """The error for options of models that are not among ``models``, where there are some."""
        unknown = sorted(self.of_models.keys() - set(models))
        if not unknown:
            return None
        advice = [f"; for the runtime {name!r} write {name}:KEY=VALUE" for name in unknown if name in runtimes]
        problem = f"there is no model {', '.join(map(repr, unknown))}{''.join(advice)}"
        return InvalidOptions(problem, [f"{name}.KEY" for name in models])


def parse_options(texts: Iterable[str], flag: str = "--option", example: str = "intra_op_threads=2") -> dict[str, Any]:
    """``threads=2`` and ``tags=["serve"]`` by name. Raises `typer.BadParameter`, as all of these functions."""
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{flag} {text!r} is not NAME=VALUE, such as {example}")
        options[name] = _value(value)
    return options


def parse_served_options(texts: Iterable[str]) -> ServedOptions:
    """``KEY=VALUE``, ``RUNTIME:KEY=VALUE`` and ``MODEL.KEY=VALUE``; the last dot of a name ends that of the model."""
    of_all: dict[str, Any] = {}
    of_runtimes: dict[str, dict[str, Any]] = {}
    of_models: dict[str, dict[str, Any]] = {}
    for text in texts:
        found = _OPTION.fullmatch(text)
        if found is None:
            raise typer.BadParameter(
                f"--option {text!r} is not KEY=VALUE, RUNTIME:KEY=VALUE or MODEL.KEY=VALUE, such as intra_op_threads=2"
            )
        options = of_all
        if runtime := found["runtime"]:
            options = of_runtimes.setdefault(runtime, {})
        elif model := found["model"]:
            options = of_models.setdefault(model, {})
        options[found["key"]] = _value(found["value"])
    return ServedOptions(of_all=of_all, of_runtimes=of_runtimes, of_models=of_models)


def _runtimes_with(key: str, runtimes: Runtimes) -> list[str]:
    """Those that say they have the option ``key``; the error names all options that there are."""
    if found := [one.name for one in runtimes if key in (one.load_options or ())]:
        return found
    silent = [one.name for one in runtimes if one.load_options is None]
    advice = f" ({', '.join(silent)} does not say what it has: write {silent[0]}:{key}=VALUE)" if silent else ""
    valid = [f"{one.name}:{option}" for one in runtimes for option in sorted(one.load_options or ())]
    raise InvalidOptions(f"no runtime has {key!r}{advice}", valid)


def _value(text: str) -> Any:
    """``text`` as a value of TOML, such as ``2``, ``["a"]`` or ``{a = 1}``, or of JSON, ``{"a": 1}``; else as it is."""
    with suppress(msgspec.DecodeError):
        parsed = msgspec.toml.decode(f"value = {text}")
        if len(parsed) == 1 and "\n" not in text:
            return parsed["value"]
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text

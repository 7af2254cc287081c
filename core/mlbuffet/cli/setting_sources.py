"""Where the settings of a command come from: flags, the environment, a file, or their defaults, in this order."""

import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer
from typer import Context
from typer.core import TyperArgument, TyperCommand, TyperOption
from typing_extensions import override

Parameter = TyperArgument | TyperOption

PREFIX = "MLBUFFET_"
NO_VARIABLE = ("show-config", "help")
NOT_IN_FILE = ("config", *NO_VARIABLE)
"""The key of flags that say how settings are read."""

_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://.*")
_FLAG = re.compile(r"--[a-z][a-z-]*")
_SECRET = re.compile(r"auth|credential|key|pass|secret|token", re.IGNORECASE)
_QUERY = re.compile(r"=[^&]*")


class WrongSetting(typer.TyperException):
    """A setting of the command line, the environment or the file is wrong."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that counts; ``place`` is the flag, the variable or the file where it was given."""

    key: str
    value: Any
    source: str
    place: str


class SettingsCommand(TyperCommand):
    """A command whose flags can also be given in the environment, as `variable_of` names them, and in a file."""

    @override
    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's own, exported
        for parameter in parameters(self):
            has_variable = key_of(parameter) not in NO_VARIABLE and not _is_service_link(parameter)
            parameter.envvar = variable_of(parameter) if has_variable else None
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if isinstance(error.param, Parameter):
                _explain(error, error.param, ctx)
            raise


def read_settings(context: Context, path: Path | None) -> Path | None:
    """Take what no flag and no variable gives from the TOML file at ``path``. Raises `WrongSetting`."""
    if path is None:
        return None
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WrongSetting(f"'{path}' cannot be read: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise WrongSetting(f"'{path}' is not TOML: {error}") from None
    by_key = {key_of(one): one for one in parameters(context.command) if key_of(one) not in NOT_IN_FILE}
    for key in values:
        if key not in by_key:
            raise WrongSetting(f"'{path}': unknown key {key!r}{_nearest(key, by_key)}; there are {_listed(by_key)}")
    context.default_map = {by_key[key].name or "": _value(path, by_key[key], value) for key, value in values.items()}
    return path


def settings_of(context: Context) -> Iterator[Setting]:
    """All settings of a command that runs, by key, without secrets."""
    for parameter in parameters(context.command):
        source = context.get_parameter_source(parameter.name or "")
        if source is None or key_of(parameter) in NO_VARIABLE:
            continue
        place = {
            "COMMANDLINE": parameter.opts[0] if isinstance(parameter, TyperOption) else parameter.human_readable_name,
            "ENVIRONMENT": variable_of(parameter),
            "DEFAULT_MAP": str(context.params.get("config")),
        }.get(source.name, "")
        names = {"COMMANDLINE": "flag", "ENVIRONMENT": "environment", "DEFAULT_MAP": "file"}
        value = _without_secrets(key_of(parameter), context.params[parameter.name or ""])
        yield Setting(key_of(parameter), value, names.get(source.name, "default"), place)


def parameters(command: Any) -> list[Parameter]:
    """The flags and arguments of a command."""
    return [one for one in command.params if isinstance(one, Parameter)]


def key_of(parameter: Parameter) -> str:
    """The name of a parameter in a file: that of its flag, without hyphens before it."""
    flags = [one for one in parameter.opts if one.startswith("--")]
    return flags[0].removeprefix("--") if flags else parameter.name or ""


def variable_of(parameter: Parameter) -> str:
    """The name of a parameter in the environment."""
    return PREFIX + key_of(parameter).upper().replace("-", "_")


def takes(parameter: Parameter) -> str:
    """What a parameter takes, in words."""
    kind = _kind(parameter)
    words = _WORDS.get(kind, "text")
    lowest, highest = getattr(parameter.type, "min", None), getattr(parameter.type, "max", None)
    if lowest is not None:
        words += f" from {lowest}" + ("" if highest is None else f" to {highest}")
    if kind == "choice":
        words = " or ".join(f"'{one}'" for one in _choices(parameter))
    return f"a list of {_PLURALS.get(kind, 'texts')}" if _is_list(parameter) else words


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "boolean": "true or false",
    "parse_size": "a size such as 64MiB, or a number of bytes",
    "path": "a path",
}
_PLURALS = {"parse_network": "addresses or networks", "parse_origin": "sites"}
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "boolean": (bool,),
    "parse_size": (int, str),
}


def _kind(parameter: Parameter) -> str:
    return "choice" if _choices(parameter) else str(parameter.type.name).removesuffix(" range")


def _choices(parameter: Parameter) -> list[str]:
    return list(getattr(parameter.type, "choices", ()))


def _is_list(parameter: Parameter) -> bool:
    return parameter.nargs == -1 or bool(getattr(parameter, "multiple", False))


def _value(path: Path, parameter: Parameter, value: Any) -> Any:
    """``value`` of a file as the command line would have it. Raises `WrongSetting` where its type is another."""
    kinds = _TYPES.get(_kind(parameter), (str,))
    elements = value if _is_list(parameter) and isinstance(value, list) else [value]
    if _is_list(parameter) != isinstance(value, list) or not all(_is_one_of(one, kinds) for one in elements):
        raise WrongSetting(f"'{path}': {key_of(parameter)} takes {takes(parameter)}, and is {value!r}")
    texts = [one if isinstance(one, bool) else str(one) for one in elements]
    return texts if _is_list(parameter) else texts[0]


def _is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and isinstance(value, bool) == (bool in kinds)


@contextmanager
def naming_sources(context: Context) -> Iterator[None]:
    """Have errors that name flags say where those were given, if not on the command line."""
    try:
        yield
    except (WrongSetting, typer.BadParameter) as error:
        flags = _FLAG.findall(error.message)
        named = [one for one in parameters(context.command) if {*one.opts} & {*flags}]
        places = [(one.opts[0], _place(one, context)) for one in named]
        error.message += "".join(f"; {flag} is given by {place}" for flag, place in places if place)
        raise


def _place(parameter: Parameter, context: Context) -> str | None:
    """The variable or the key of a file that gave a parameter its value; ``None`` for a flag or a default."""
    source = context.get_parameter_source(parameter.name or "")
    match source.name if source else "":
        case "ENVIRONMENT":
            return f"the environment variable {variable_of(parameter)}"
        case "DEFAULT_MAP":
            return f"{key_of(parameter)} in '{context.params.get('config')}'"
    return None


def _explain(error: typer.BadParameter, parameter: Parameter, context: Context) -> None:
    """Say in ``error`` which flag, variable or key of a file is wrong, and what it takes."""
    place = _place(parameter, context)
    error.param_hint = place or parameter.opts[:1]  # without the variable, where that is not what is wrong
    if _kind(parameter) not in ("int", "float", "boolean"):  # the others say it themselves
        return
    what, no_such_type, _ = error.message.partition(" is not a valid ")
    if no_such_type:
        error.message = f"{what} is not {takes(parameter)}"
    elif place:
        error.message = f"{error.message.rstrip('.')}; it takes {takes(parameter)}"


def _is_service_link(parameter: Parameter) -> bool:
    """Whether Kubernetes set the variable: a Service called ``mlbuffet`` gives pods MLBUFFET_PORT=tcp://10.0.0.1:80."""
    return _SERVICE_LINK.fullmatch(os.environ.get(variable_of(parameter), "")) is not None


def _nearest(key: str, known: dict[str, Parameter]) -> str:
    close = get_close_matches(key.lower().replace("_", "-"), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _listed(known: dict[str, Parameter]) -> str:
    return ", ".join(sorted(known))


def _without_secrets(key: str, value: Any) -> Any:
    """``value`` without what stands before the last @ and in the query of a URL, and without options for secrets."""
    match value:
        case list() | tuple():
            return [_without_secrets(key, one) for one in value]
        case str() if key == "option" and _SECRET.search(value):
            name, equals, _ = value.partition("=")
            return f"{name}=***" if equals else "***"
        case str() if "://" in value or key == "cache-redis":
            scheme, mark, rest = value.partition("://") if "://" in value else ("", "", value)
            _, at, place = rest.rpartition("@")  # a password may hold what ends it elsewhere: / ? @
            address, question, query = place.partition("?")
            return scheme + mark + ("***@" if at else "") + address + question + _QUERY.sub("=***", query)
        case Path():
            return str(value)
    return value

"""The table of all settings of ``mlbuffet serve`` in docs/cli.md."""

import re

from typer.main import get_command

from mlbuffet.cli.commands import app
from mlbuffet.cli.setting_sources import NO_VARIABLE, NOT_IN_FILE, Parameter, key_of, parameters, takes, variable_of

BEGIN, END = "<!-- the table is made by `make reference` -->\n", "<!-- end of the table -->\n"


def renewed(page: str) -> str:
    """``page`` with the table as it is now."""
    return re.sub(f"{BEGIN}.*{END}", lambda _: BEGIN + reference() + END, page, flags=re.DOTALL)


def reference() -> str:
    """A row for each setting: its flag, its variable, what it takes, and what counts without it."""
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]  # a Typer with several commands is a group
    rows = [_row(one) for one in parameters(serve) if key_of(one) != "help"]
    head = "| flag | variable | takes | without it | |\n|---|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _row(parameter: Parameter) -> tuple[str, ...]:
    key = key_of(parameter)
    flag = f"`--{key}`" if parameter.param_type_name == "option" else f"`{parameter.metavar}`, in a file `{key}`"
    variable = "" if key in NO_VARIABLE else f"`{variable_of(parameter)}`"
    note = ", not in a file" if key in NOT_IN_FILE else ""
    default = "" if parameter.default in (None, False) else f"`{parameter.default}`"
    text = (parameter.help or "").replace("\\[", "[").replace("|", "\\|")
    return flag + note, variable, takes(parameter), default, text

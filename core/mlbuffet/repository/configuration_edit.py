"""Changes of some keys of a ``model.toml``, which leave everything else in it as it is written."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import msgspec

from mlbuffet.errors import InvalidConfiguration
from mlbuffet.repository.configuration import Configuration

Changes = Mapping[str, Mapping[str, Any]]
"""By table, the values of its keys."""


def edited(text: str, changes: Changes) -> str:
    """``text`` with ``changes``; other keys, their order and comments stay. ``text`` is TOML."""
    import tomlkit  # nobody else needs it

    document = tomlkit.parse(text)
    for name, values in changes.items():
        if name not in document:
            document[name] = tomlkit.table()
        for key, value in values.items():
            document[name][key] = value
    return tomlkit.dumps(document)


def write_configuration(file: Path, text: str) -> None:
    """Put ``text`` in the place of the file, at once. Raises `InvalidConfiguration` for what it must not say."""
    try:
        msgspec.toml.decode(text, type=Configuration)
    except msgspec.ValidationError as error:
        raise InvalidConfiguration(file, str(error)) from None
    with NamedTemporaryFile("w", dir=file.parent, prefix=".mlbuffet-", encoding="utf-8", delete=False) as written:
        written.write(text)
    new = Path(written.name)
    new.chmod(file.stat().st_mode if file.exists() else 0o644)
    new.replace(file)

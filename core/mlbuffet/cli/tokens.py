"""The token that clients show who change a server's models."""

from pathlib import Path

import typer


def read_token(path: Path) -> str:
    """The token in a file, its only word. Raises `typer.BadParameter`."""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise typer.BadParameter(f"the token in '{path}' cannot be read: {(reason or str(error)).lower()}") from error
    if not token or not token.isascii() or len(token.split()) != 1:
        raise typer.BadParameter(f"'{path}' must hold a token, such as: openssl rand -hex 32 > '{path}'")
    return token

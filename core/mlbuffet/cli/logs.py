"""What a command says on stderr: its log, and the error that ends it."""

import logging
import sys
from typing import NoReturn

import typer

from mlbuffet.errors import MLBuffetError

logger = logging.getLogger(__name__)


def set_up_logging(debug: bool) -> None:  # noqa: FBT001 typer hands a flag's value over so
    """Warnings, or everything, as lines on stderr."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel(logging.DEBUG if debug else logging.WARNING)  # plugins log under names of their own


def end_with(error: typer.TyperException | MLBuffetError) -> NoReturn:
    """One line on stderr and the exit code: that of a wrong use, or 1."""
    if isinstance(error, MLBuffetError):
        logger.debug("the error's traceback:", exc_info=error)
        message, status = str(error), 1
    else:
        message, status = error.format_message(), error.exit_code
    print("error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(status)

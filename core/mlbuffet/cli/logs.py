"""What a command says on stderr: its log, and the error that ends it."""

import logging
import sys
from dataclasses import dataclass
from typing import NoReturn

import typer

from mlbuffet.errors import MLBuffetError

logger = logging.getLogger(__name__)


def set_up_logging(debug: bool) -> None:  # noqa: FBT001 typer hands a flag's value over so
    """Warnings, or everything, as lines on stderr."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel(logging.DEBUG if debug else logging.WARNING)  # plugins log under names of their own


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLines:
    """How the log of a server looks, in each of its processes."""

    debug: bool
    as_json: bool
    access: bool
    """Whether there is a line for each request."""

    def set_up(self) -> None:
        """From now on."""
        from mlbuffet.server.log_format import HumanFormatter, JsonFormatter

        set_up_logging(self.debug)
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter() if self.as_json else HumanFormatter())
        if self.access:
            logging.getLogger("mlbuffet.access").setLevel(logging.INFO)


def end_with(error: typer.TyperException | MLBuffetError) -> NoReturn:
    """One line on stderr and the exit code: that of a wrong use, or 1."""
    if isinstance(error, MLBuffetError):
        logger.debug("the error's traceback:", exc_info=error)
        message, status = str(error), 1
    else:
        message, status = error.format_message(), error.exit_code
    print("error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(status)

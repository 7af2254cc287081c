"""Lines of the log can be read, whatever is in them."""

import json
import logging
import sys

import pytest

from mlbuffet.server.http.log_format import HumanFormatter, JsonFormatter


def record(message: str, *arguments: object) -> logging.LogRecord:
    """One with the exception that is being handled, if there is one."""
    error = sys.exc_info() if sys.exc_info()[0] else None
    return logging.LogRecord("a.b", logging.WARNING, __file__, 1, message, arguments, error)


@pytest.mark.parametrize("text", ["plain", 'a "quote"', "two\nlines", "\ud800 of no UTF-8", "\x1b[31m", "é"])
def test_an_object_is_one_line_that_a_machine_reads(text: str) -> None:
    line = JsonFormatter().format(record("it says: %s", text))
    assert "\n" not in line
    assert line.isascii()
    read = json.loads(line)
    assert (read["level"], read["logger"], read["message"]) == ("WARNING", "a.b", f"it says: {text}")
    assert "request_id" not in read


def test_a_traceback_is_part_of_the_object_and_follows_a_line_for_people() -> None:
    try:
        raise ValueError("the cause")
    except ValueError:
        failed = record("it failed")
    assert json.loads(JsonFormatter().format(failed))["traceback"].endswith("ValueError: the cause")
    first, *more = HumanFormatter().format(failed).splitlines()
    assert first == "WARNING a.b: it failed"
    assert more[-1] == "ValueError: the cause"

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlbuffet import errors
from mlbuffet.errors import MLBuffetError, may_pass
from mlbuffet.isolation import sent_errors


def through(error: BaseException) -> Exception:
    """What arrives in the other process."""
    text = msgspec.msgpack.encode(sent_errors.sent(error))
    return sent_errors.received(msgspec.msgpack.decode(text))


ERRORS: list[MLBuffetError] = [
    errors.InvalidInput("input 'x' is wrong", detail="inner"),
    errors.UnknownSignature("a", ["b"], "because"),
    errors.InvalidOptions("no", ["a", "b"]),
    errors.LoadFailed("it is empty", path=Path("/m"), runtime="r", detail="inner"),
    errors.PredictFailed("r", "s", "inner", reason="it is so"),
    errors.ModelNotReady("m", 3, "it is being loaded", 2.0),
    errors.DeadlineExceeded(0.5),
    errors.Overloaded(1, 2, "m", 3),
    errors.NoRuntime(Path("/m"), ["a"], {"b": ValueError("broken")}),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda one: type(one).__name__)
def test_an_error_of_mlbuffet_arrives_as_it_is(error: MLBuffetError) -> None:
    arrived = through(error)
    assert type(arrived) is type(error)
    assert isinstance(arrived, MLBuffetError)
    assert str(arrived) == str(error)
    assert arrived.public == error.public
    facts = {name: value for name, value in vars(error).items() if name != "broken"}
    assert {name: vars(arrived)[name] for name in facts} == facts


def test_another_error_arrives_with_its_name_and_text() -> None:
    class OfSomeLibrary(ValueError):
        pass

    arrived = through(OfSomeLibrary("what it says", 3))
    assert (type(arrived).__name__, str(arrived)) == ("OfSomeLibrary", "('what it says', 3)")
    assert str(through(KeyError("x"))) == "'x'"


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (MemoryError("all of it"), True),
        (OSError(28, "No space left on device", "/somewhere"), True),
        (FileNotFoundError(2, "No such file", "/somewhere"), False),
        (ValueError("x"), False),
    ],
)
def test_whether_the_cause_may_pass_is_still_known(error: Exception, passes: Any) -> None:
    failed = errors.LoadFailed("it failed")
    failed.__cause__ = error
    arrived = through(failed)
    assert may_pass(arrived) is passes
    assert type(arrived.__cause__).__name__ == type(error).__name__
    assert str(arrived.__cause__) == str(error)


def test_the_traceback_comes_as_a_note() -> None:
    try:
        raise ValueError("here")
    except ValueError as error:
        arrived = through(error)
    assert "test_the_traceback_comes_as_a_note" in "".join(arrived.__notes__)


def test_an_error_whose_text_cannot_be_made_arrives() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "its text cannot be made" in str(through(Odd()))

"""Which errors of a call are due to the values that the caller sent."""

import re

from mlbuffet.errors import InvalidInput

_SHAPE = r"\[[\d, ]*\]"
_VALUES = (
    (
        rf"Incompatible shapes: ({_SHAPE}) vs\. ({_SHAPE})|In\[0\]: ({_SHAPE}),? In\[1\]: ({_SHAPE})"
        rf"|shape\[\d+\] = ({_SHAPE}) vs\. shape\[\d+\] = ({_SHAPE})",
        "the shapes of the inputs do not fit each other or the model: it met {0} where {1} does not go with it",
    ),
    (
        r"[Ii]ncompatible shapes|[Ss]ize-incompatible|Input to reshape is a tensor|must be equal|mismatch In\[1\]"
        r"|must be (?:at least )?(?:rank )?\d+-dimensional|must be evenly divisible by|must have (?:the )?same",
        "the shapes of the inputs do not fit each other or the model",
    ),
    (
        r"\S* = (-?\d+) is not in \[(-?\d+), (-?\d+)\)",
        "an index among the inputs is out of range: {0} is not in [{1}, {2})",
    ),
    (
        r"index \S+ of dimension \d+ out of bounds|Expected begin\[|out of range",
        "an index among the inputs is out of range",
    ),
    (
        r"Could not parse example|Can't parse serialized|Feature: .*\(data type|Key: .*Data types don't match"
        r"|values != expected",
        "a serialized tf.Example among the inputs cannot be parsed, or lacks a feature that the model needs",
    ),
    (r"could not correctly convert string", "a text among the inputs is not the number that the model expects"),
    (r"[Ii]mage (?:file )?format|JPEG|PNG", "an image among the inputs cannot be decoded"),
    (r"[Bb]ase64", "a text among the inputs is not base64"),
    (r"assertion failed", "the inputs do not hold what the model itself checks"),
)


def invalid_input(message: str) -> InvalidInput | None:
    """The caller's mistake that TensorFlow's ``message`` about invalid arguments speaks of, where that is certain."""
    for pattern, sentence in _VALUES:
        if found := re.search(pattern, message):
            return InvalidInput(sentence.format(*(group for group in found.groups() if group is not None)))
    return None

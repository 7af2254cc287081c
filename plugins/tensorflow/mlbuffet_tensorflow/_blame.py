"""Which errors of a call are due to the values that the caller sent."""

import re

from mlbuffet.errors import InvalidInput
from mlbuffet_tensorflow._checks import Checks

_READ = 4000
"""Characters of a message that are searched: the caller's values follow, of any length."""
_SHAPE = r"\[[\d, ]*\]"
_FEATURE = r"(?:Key|[Ff]eature(?: list)?):? '?(?P<feature>.{1,200}?)'?(?:, Index: (?P<index>\d+))?"
_ECHOES = (
    (
        rf"{_FEATURE}(?: \(data type: (?P<wanted>\w+)\))? is required but could not be found",
        "{example} lacks the feature {feature!r}, which the model needs{as_wanted}",
    ),
    (
        rf"{_FEATURE}\.  Data types don't match\. Data type: (?P<came>\w+) but expected type: (?P<wanted>\w+)",
        "the feature {feature!r} of {example} came as {came}, and the model takes {wanted}",
    ),
    (
        rf"{_FEATURE}\.  Data types don't match\. Expected type: (?P<wanted>\w+), Actual type: (?P<came>\w+)",
        "the feature {feature!r} of {example} came as {came}, and the model takes {wanted}",
    ),
    (
        rf"{_FEATURE}\.  Number of (?P<wanted>\w+) values (?:!= expected|is not a multiple of stride length)\.  ?"
        r"(?:Values size:|Saw) (?P<came>\d+) (?:values )?but output shape(?: is)?: (?P<shape>\[[\d?, ]*\])",
        "the feature {feature!r} of {example} has {came} values, and the model takes {wanted} of the shape {shape}",
    ),
    (
        r"Inconsistent (?:max )?number of elements for feature (?P<feature>.{1,200}?): expected (?P<shape>\d+), "
        r"but found (?P<came>\d+)",
        "the feature {feature!r} of {example} has {came} values, and the model takes {shape}",
    ),
    (
        rf"{_FEATURE}\.  Can't parse serialized Example",
        "the feature {feature!r} of {example} does not have as many values as the model takes, or is damaged",
    ),
    (
        r"Could not parse example|Can't parse serialized|Data types don't match|values != expected"
        r"|Unsupported datatype\.\s.{0,300}ParseExample",
        "a serialized tf.Example among the inputs cannot be parsed",
    ),
    (r"could not correctly convert string", "a text among the inputs is not the number that the model expects"),
    (r"Error while parsing JSON", "a text among the inputs is not the JSON that the model expects"),
    (r"Could not parse `serialized` as TensorProto", "a text among the inputs is not a serialized TensorProto"),
    (
        r"Field (?P<came>\d+) in record \d+ is not a valid (?P<wanted>\w+)",
        "field {came} of a line of CSV among the inputs is not {wanted}, which the model takes",
    ),
    (
        r"Expect (?P<wanted>\d+) fields but have (?P<came>\d+) in record",
        "a line of CSV among the inputs has {came} fields, and the model takes {wanted}",
    ),
)
"""Texts that repeat what the caller sent, which may hold the words of the others."""
_OTHERS = (
    (
        rf"Incompatible shapes: (?P<came>{_SHAPE}) vs\. (?P<wanted>{_SHAPE})",
        "the shapes of the inputs do not fit each other or the model: it met {came} where {wanted} does not go with it",
    ),
    (
        rf"In\[0\]: (?P<came>{_SHAPE}),? In\[1\]: (?P<wanted>{_SHAPE})",
        "the shapes of the inputs do not fit each other or the model: it met {came} where {wanted} does not go with it",
    ),
    (
        rf"shape\[\d+\] = (?P<came>{_SHAPE}) vs\. shape\[\d+\] = (?P<wanted>{_SHAPE})",
        "the shapes of the inputs do not fit each other or the model: it met {came} where {wanted} does not go with it",
    ),
    (
        rf"Shape of tensor \S+ (?P<came>{_SHAPE}) is not compatible with expected shape (?P<wanted>\[[\d?, ]*\])",
        "a tensor of shape {came} came of the inputs where the model takes {wanted}",
    ),
    (
        r"[Ii]ncompatible shapes|[Ss]ize-incompatible|Input to reshape is a tensor|must be equal|mismatch In\[1\]"
        r"|must be (?:at least )?(?:rank )?\d+-dimensional|must be evenly divisible by|must have (?:the )?same",
        "the shapes of the inputs do not fit each other or the model",
    ),
    (
        r"\S* = (?P<came>-?\d+) is not in (?P<wanted>\[-?\d+, -?\d+\))",
        "an index among the inputs is out of range: {came} is not in {wanted}",
    ),
    (
        rf"= (?P<came>\[[-\d, ]*\]) does not index into (?:param )?shape (?P<wanted>{_SHAPE})",
        "an index among the inputs is out of range: {came} is none of a tensor of shape {wanted}",
    ),
    (
        r"index \S+ of dimension \d+ out of bounds|indices\[[\d, ]*\] = \S.{0,100}? is out of bounds|Expected begin\["
        r"|out of range",
        "an index among the inputs is out of range",
    ),
    (
        r"Number of elements in indices \((?P<came>\d+)\) and values \((?P<wanted>\d+)\) do not match",
        "a sparse feature of a tf.Example among the inputs has {came} indices and {wanted} values",
    ),
    (r"[Ii]nteger division by zero", "the model divides by an integer among the inputs that is zero"),
    (r"matri(?:x|ces) must be square", "a matrix among the inputs is not square, as the model takes it"),
    (r"Requires (?:start|limit|delta)", "the start, limit and delta of a range among the inputs do not fit each other"),
    (r"[Ii]mage (?:file )?format|JPEG|PNG|GIF|BMP|WebP", "an image among the inputs cannot be decoded"),
    (
        r"Header mismatch: Expected|Data too short when trying|[Aa]udio format|WAV",
        "a sound among the inputs cannot be decoded",
    ),
    (r"[Bb]ase64", "a text among the inputs is not base64"),
    (
        r"Input to DecodeRaw has length (?P<came>\d+) that is not a multiple of (?P<wanted>\d+)",
        "a text among the inputs has {came} bytes, and the model takes a multiple of {wanted}",
    ),
    (r"Invalid formatting on input string", "a text among the inputs is not in the encoding that the model expects"),
    (r"assertion failed|: Tensor had (?:[-+]?Inf|NaN)", "the inputs do not hold what the model itself checks"),
)


def invalid_input(message: str, checks: Checks) -> InvalidInput | None:
    """The caller's mistake that TensorFlow's ``message`` about invalid arguments reports, where that is certain.

    What the author of one of ``checks`` says of it is part of the sentence, and nothing that only TensorFlow says.
    """
    if re.search(r"_from_row_partition|from_row_splits|from_row_lengths", message[:_READ]):
        return InvalidInput("the row splits of a ragged tensor among the inputs do not fit its values", detail=message)
    if words := checks.words_for(message):
        return InvalidInput(f"the inputs do not hold what the model itself checks: {words}", detail=message)
    for pattern, sentence in (*_ECHOES, *_OTHERS):
        if found := re.search(pattern, message[:_READ]):
            return InvalidInput(_filled(sentence, found.groupdict()), detail=message)
    return None


def _filled(sentence: str, found: dict[str, str | None]) -> str:
    """``sentence`` with what was found, of a tf.Example by its number where TensorFlow tells that."""
    index, wanted = found.get("index"), found.get("wanted")
    example = "a tf.Example among the inputs" if index is None else f"the tf.Example {index} of the inputs"
    return sentence.format(**found, example=example, as_wanted="" if wanted is None else f" as {wanted}")

"""The numbers that versions can have, which are TensorFlow Serving's: from 0 to the largest of 64 bits."""

import re
from pathlib import Path

from mlbuffet.artifact import is_broken_link, is_folder
from mlbuffet.errors import InvalidInput

LARGEST = 2**63 - 1
PATTERN = "(0|[1-9][0-9]{0,18})"  # a number as addresses have it


def version_number(digits: str) -> int | None:
    """The number that ASCII digits are, which may begin with zeros; ``None`` for anything else."""
    if not (digits.isascii() and digits.isdigit()):
        return None
    digits = digits.lstrip("0") or "0"
    number = int(digits) if len(digits) <= len(str(LARGEST)) else LARGEST + 1
    return number if number <= LARGEST else None


def version_in_address(text: str, besides: str = "") -> int:
    """The number in an address, where each has one way to be written. Raises `InvalidInput`."""
    number = version_number(text) if re.fullmatch(PATTERN, text) else None
    if number is None:
        raise InvalidInput(f"{text!r} is not a version; versions are whole numbers from 0 to {LARGEST}{besides}")
    return number


def numbered_folders(folder: Path) -> list[tuple[int, Path]]:
    """The folders of versions in ``folder``, in the order of their numbers. Raises ``OSError``."""
    numbers = ((version_number(child.name), child) for child in folder.iterdir())
    return sorted(
        (number, child)
        for number, child in numbers
        if number is not None and is_folder(child) and not is_broken_link(child)
    )

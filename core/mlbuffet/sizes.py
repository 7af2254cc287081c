"""Sizes as people write them: ``64MiB``."""

import re

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"([0-9]{1,15})\s?([A-Za-z]*)", re.ASCII)


def bytes_of(text: str) -> int:
    """The bytes of ``64MiB``, ``10 MB`` or ``1000``. Raises ``ValueError``."""
    found = _SIZE.fullmatch(text)
    if found is None or found[2].upper() not in _UNITS:
        raise ValueError(f"{text!r} is no size; write a whole number of bytes, or such as 500KB, 64MiB or 1GiB")
    return int(found[1]) * _UNITS[found[2].upper()]

"""What the pickles in an artifact would call, read without unpickling any."""

import pickletools
import tokenize
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from numpy.lib import format as npy

from mlbuffet.archives import DAMAGED, METHODS
from mlbuffet.risks import Risk

LONGEST = 64 * 2**20
"""Bytes of a pickle that are read; what is longer counts as one that may call anything."""
_STARTS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_SUFFIXES = (".dill", ".joblib", ".p", ".pickle", ".pkl")
"""Of files that are pickles however they begin: those of the oldest protocols begin with anything."""
_LONGEST_HEADER = 10_000
"""Bytes of a header of numpy; longer ones it reads only for who allows pickles."""
_UNREADABLE = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError, OverflowError)
"""What numpy raises for headers, which it reads as Python."""
_SHOWN = 3
_TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "SHORT_BINSTRING", "BINSTRING", "STRING")
_HARMLESS = frozenset(
    {
        *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("complex", "frozenset", "set")),
        "collections.OrderedDict",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.core.numeric._frombuffer",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
        "numpy.dtype",
        "numpy.ndarray",
        "_codecs.encode",
    }
)
"""What pickles of numbers and arrays call."""


def pickle_risks(path: Path, *, in_archives: bool) -> Iterator[Risk]:
    """What the pickles at ``path`` call, a file or a folder; with ``in_archives`` those in zip files too.

    A .npy file holds one where its array is of objects, and a .npz file several of these.
    """
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if not file.is_file():
            continue
        name = file.name if file == path else file.relative_to(path).as_posix()
        with file.open("rb") as opened:
            yield from _risks_in(opened, name)
        if (in_archives or file.suffix.lower() == ".npz") and zipfile.is_zipfile(file):
            yield from _risks_in_zip(file, name)


def _risks_in_zip(file: Path, name: str) -> Iterator[Risk]:
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if entry.compress_type in METHODS and not entry.flag_bits & 1:
                    with archive.open(entry) as opened:
                        yield from _risks_in(opened, f"{name}/{entry.filename}")
    except DAMAGED:  # its runtime refuses it, or has no use for it
        return


def _risks_in(opened: IO[bytes], name: str) -> Iterator[Risk]:
    head, is_named_so = opened.read(len(npy.MAGIC_PREFIX)), name.lower().endswith(_SUFFIXES)
    if head == npy.MAGIC_PREFIX and _is_of_objects(opened):
        head, is_named_so = b"", True
    if not head.startswith(_STARTS) and not is_named_so:
        return
    content = head + opened.read(LONGEST)
    found, is_whole = _called(content)
    if called := sorted(found - _HARMLESS):
        more = f" and {len(called) - _SHOWN} more" if len(called) > _SHOWN else ""
        yield Risk("code", f"the pickle {name!r} calls {', '.join(called[:_SHOWN])}{more} when it is read")
    elif len(content) > LONGEST or (is_named_so and not is_whole):
        why = "too long" if len(content) > LONGEST else "compressed or damaged"
        yield Risk("code", f"the pickle {name!r} is {why}, so that it may call anything when it is read")


def _is_of_objects(opened: IO[bytes]) -> bool:
    """Whether numpy unpickles what follows the header of an array, or the header cannot be read."""
    is_first = opened.read(2) == b"\1\0"
    read = npy.read_array_header_1_0 if is_first else npy.read_array_header_2_0  # 3.0 is 2.0 with names in UTF-8
    length = opened.read(2 if is_first else 4)
    if (size := int.from_bytes(length, "little")) > _LONGEST_HEADER:
        return True
    try:
        _, _, dtype = read(BytesIO(length + opened.read(size)))
    except _UNREADABLE:
        return True
    return dtype.hasobject


def _called(content: bytes) -> tuple[set[str], bool]:
    """The functions and types that a pickle names, and whether it is one to its end."""
    called: set[str] = set()
    pushed = deque(["?", "?"], maxlen=2)
    """What the last opcodes put on the stack, where that is text."""
    memo: dict[int, str] = {}
    stream = BytesIO(content)
    with suppress(ValueError):
        while stream.tell() < len(content):  # pickles may follow one another
            for opcode, argument, _ in pickletools.genops(stream):
                value: Any = argument
                match opcode.name:
                    case "MEMOIZE":
                        memo[len(memo)] = pushed[-1]
                    case "PUT" | "BINPUT" | "LONG_BINPUT":
                        memo[value] = pushed[-1]
                    case "GET" | "BINGET" | "LONG_BINGET":
                        pushed.append(memo.get(value, "?"))
                    case "GLOBAL" | "INST":
                        called.add(value.replace(" ", "."))
                        pushed.append("?")
                    case "STACK_GLOBAL":
                        called.add(".".join(pushed))
                        pushed.append("?")
                    case "EXT1" | "EXT2" | "EXT4":
                        called.add(f"extension {value}")
                        pushed.append("?")
                    case "PROTO" | "FRAME":
                        pass
                    case _:
                        pushed.append(value if opcode.name in _TEXTS else "?")
        return called, True
    return called, False

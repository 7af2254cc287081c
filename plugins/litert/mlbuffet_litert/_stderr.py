"""The process's stderr without the line that LiteRT writes there when a process first uses its delegate."""

from contextlib import AbstractContextManager

from mlbuffet.hookspecs import stderr_kept_back

_LINE = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"


def without_greeting() -> AbstractContextManager[bool]:
    """Keep the line back, and write all else that came inside to stderr at the end."""
    return stderr_kept_back(lambda written: written.replace(_LINE, b""))

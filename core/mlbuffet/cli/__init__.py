"""The command line: ``mlbuffet serve | predict | verify | convert | inspect | runtimes | models | push | ...``."""

from mlbuffet.cli.commands import main

__all__ = ["main"]

"""The command line: ``mlbuffet serve | predict | verify | inspect | runtimes | models | push | default | remove``."""

from mlbuffet.cli.commands import main

__all__ = ["main"]

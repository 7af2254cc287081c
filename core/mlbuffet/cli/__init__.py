"""The command line: ``mlbuffet serve | predict | inspect | runtimes``."""

from mlbuffet.cli.commands import main

__all__ = ["main"]

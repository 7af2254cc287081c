"""The command line: ``mlbuffet serve | predict | verify | inspect | runtimes``."""

from mlbuffet.cli.commands import main

__all__ = ["main"]

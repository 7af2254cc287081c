"""``python -m mlbuffet``: the command line."""

from mlbuffet.cli import main

main()

"""HTTP for the models of a repository."""

from mlbuffet.server.application import create_app

__all__ = ["create_app"]

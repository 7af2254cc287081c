"""HTTP for the models of a repository."""

from mlbuffet.server.application import create_app
from mlbuffet.server.settings import ServerSettings

__all__ = ["ServerSettings", "create_app"]

"""MLBuffet's own API: the routes below /api/v1, and their codec."""

from mlbuffet.server.buffet.endpoints import routes
from mlbuffet.server.buffet.failures import with_status
from mlbuffet.server.buffet.operations import protocol

__all__ = ["protocol", "routes", "with_status"]

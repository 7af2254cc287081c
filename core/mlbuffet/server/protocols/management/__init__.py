"""MLBuffet's own API: the routes below /api/v1, and their codec."""

from mlbuffet.server.protocols.management.answers import with_status
from mlbuffet.server.protocols.management.endpoints import routes
from mlbuffet.server.protocols.management.openapi_operations import protocol

__all__ = ["protocol", "routes", "with_status"]

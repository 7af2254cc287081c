"""gRPC, as far as it is the same for every service; the services are modules of `mlbuffet.server.protocols`."""

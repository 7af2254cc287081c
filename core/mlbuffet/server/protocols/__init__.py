"""The protocols of the server."""

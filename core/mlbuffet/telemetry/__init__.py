"""What is counted, of all workers of a server."""

"""What a server has counted: requests, loads and times, of one process or of all its workers."""

"""Small predictions answered in the callback of the HTTP protocol."""

"""JSON text to arrays, and arrays to JSON text."""

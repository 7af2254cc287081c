"""HTTP as every protocol uses it: bodies, limits, errors, the guard of changes."""

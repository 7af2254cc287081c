"""JAX for MLBuffet."""

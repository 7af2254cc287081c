"""MLBuffet's models on a cluster of Ray Serve: ``serve run mlbuffet_ray:app models=./models``."""

from mlbuffet_ray.application import app, build

__all__ = ["app", "build"]

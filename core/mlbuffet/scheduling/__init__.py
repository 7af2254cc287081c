"""How calls reach a model."""

from mlbuffet.scheduling.call import Call

__all__ = ["Call"]

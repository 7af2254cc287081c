"""A cache of predictions: a call that was answered before need not reach its model again."""

from mlbuffet.caching.cache import PredictionCache
from mlbuffet.caching.key import Question
from mlbuffet.caching.memory import MemoryCache
from mlbuffet.caching.redis import RedisCache

__all__ = ["MemoryCache", "PredictionCache", "Question", "RedisCache"]

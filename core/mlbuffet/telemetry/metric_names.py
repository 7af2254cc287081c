"""The names, help and labels of metrics; the keys of a `CounterTable` are a name and the values of its labels."""

from collections.abc import Mapping

VERSION = ("model", "version")

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "requests": ("Requests by how they ended.", (*VERSION, "protocol", "code")),
    "loads": ("Loads by how they ended.", (*VERSION, "state")),
    "cache_hits": ("Calls that were cache hits.", ("model",)),
    "cache_misses": ("Calls that were cache misses.", ("model",)),
}
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "load_seconds": ("How long the last load took.", VERSION),
    "versions": ("Versions by state.", ("state",)),
    "calls_waiting": ("Calls that wait for their turn.", VERSION),
    "calls_running": ("Calls or batches that run in threads.", VERSION),
    "cache_bytes": ("Answers kept in memory.", ()),
    "cache_entries": ("Answers kept in memory.", ()),
    "cache_redis_up": ("1 while Redis answers.", ()),
}
"""In a table, one that has no value now is NaN: of a version that is not loaded, or of Redis where there is none."""
HISTOGRAMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "request_seconds": ("From the head of a request to the end of its answer.", (*VERSION, "protocol")),
    "batch_rows": ("Rows of the batches taken from queues.", VERSION),
}
BOUNDS: Mapping[str, tuple[float, ...]] = {
    "request_seconds": (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    "batch_rows": tuple(2.0**power for power in range(11)),
}
"""The upper bounds of buckets. In a table there is one more, without a bound, and behind it the sum of all values."""

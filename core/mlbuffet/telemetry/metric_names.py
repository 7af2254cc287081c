"""The names, help and labels of metrics; the keys of a `CounterTable` are a name and the values of its labels."""

from collections.abc import Mapping

VERSION = ("model", "version")
METRICS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "request_seconds": ("histogram", "From the head of a request to the end of its answer.", (*VERSION, "protocol")),
    "batch_rows": ("histogram", "Rows of the batches taken from queues.", VERSION),
    "requests": ("counter", "Requests by how they ended.", (*VERSION, "protocol", "code")),
    "loads": ("counter", "Loads by how they ended.", (*VERSION, "state")),
    "cache_hits": ("counter", "Calls that were cache hits.", ("model",)),
    "cache_misses": ("counter", "Calls that were cache misses.", ("model",)),
    "process_restarts": ("counter", "Processes of models that were started anew.", VERSION),
    "process_instances": ("gauge", "Processes of models that answer.", VERSION),
    "load_seconds": ("gauge", "How long the last load took.", VERSION),
    "versions": ("gauge", "Versions by state.", ("state",)),
    "calls_waiting": ("gauge", "Calls that wait for their turn.", VERSION),
    "calls_running": ("gauge", "Calls or batches that run in threads.", VERSION),
    "cache_bytes": ("gauge", "Answers kept in memory.", ()),
    "cache_entries": ("gauge", "Answers kept in memory.", ()),
    "cache_redis_up": ("gauge", "1 while Redis answers.", ()),
    "workers": ("gauge", "Processes that serve, by how they were asked.", ("state",)),
}
"""In a table, a gauge without a value is NaN: that of a version that is not loaded, or of Redis where there is none."""
BOUNDS: Mapping[str, tuple[float, ...]] = {
    "request_seconds": (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    "batch_rows": tuple(2.0**power for power in range(11)),
}
"""The upper bounds of buckets. In a table there is one more, without a bound, and behind it the sum of all values."""

"""Memory keeps what it may, within its bounds, and what it keeps does not change."""

import gc
import tracemalloc

import numpy as np
import pytest

from mlbuffet.caching import memory
from mlbuffet.caching.memory import MemoryCache, size_of


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def floats(count: int, value: float = 0) -> dict[str, np.ndarray]:
    return {"y": np.full(count, value, np.float32)}


def test_what_was_put_comes_back_bit_by_bit() -> None:
    cache = MemoryCache(10_000)
    outputs = {"y": np.array([[np.nan, -0.0]]), "texts": np.array([b"a\0", b""], object), "z": np.array(3)}
    cache.put(b"k", outputs, 1e12)
    found = cache.get(b"k")
    assert found is not None
    assert list(found) == list(outputs)
    for name, array in outputs.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
    assert cache.get(b"other") is None


def test_it_keeps_copies_that_nobody_changes() -> None:
    cache = MemoryCache(10_000)
    outputs = floats(3)
    cache.put(b"k", outputs, 1e12)
    outputs["y"][:] = 7
    found = cache.get(b"k")
    assert found is not None
    assert found["y"].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="read-only"):
        found["y"][0] = 1
    del found["y"]
    assert cache.get(b"k") is not None
    assert list(cache.get(b"k") or {}) == ["y"]


def test_the_least_recently_used_make_room() -> None:
    one = size_of(floats(100))
    cache = MemoryCache(3 * one)
    for name in (b"a", b"b", b"c"):
        cache.put(name, floats(100), 1e12)
    assert cache.get(b"a") is not None
    cache.put(b"d", floats(100), 1e12)
    assert [name for name in (b"a", b"b", b"c", b"d") if cache.get(name)] == [b"a", b"c", b"d"]
    assert (len(cache), cache.size) == (3, 3 * one)
    cache.put(b"d", floats(1), 1e12)
    assert cache.size == 2 * one + size_of(floats(1))


def test_what_is_larger_than_all_room_makes_nothing_give_way() -> None:
    cache = MemoryCache(size_of(floats(10)))
    cache.put(b"a", floats(10), 1e12)
    cache.put(b"b", floats(11), 1e12)
    assert cache.get(b"a") is not None
    assert cache.get(b"b") is None


def test_an_answer_is_gone_when_its_time_is_up() -> None:
    clock = Clock()
    cache = MemoryCache(10_000, clock)
    cache.put(b"k", floats(3), 1010)
    clock.now = 1009.9
    assert cache.get(b"k") is not None
    clock.now = 1010
    assert cache.get(b"k") is None
    assert (len(cache), cache.size) == (0, 0)


@pytest.mark.parametrize("kind", ["small arrays", "large arrays", "texts"])
def test_it_takes_about_as_much_memory_as_it_counts(kind: str) -> None:
    cache = MemoryCache(2**20)
    gc.collect()
    tracemalloc.start()
    for number in range(2000):
        match kind:
            case "small arrays":
                outputs = floats(2, number)
            case "large arrays":
                outputs = floats(10_000, number)
            case _:
                outputs = {"y": np.array([str((number, place)).encode() for place in range(20)], object)}
        cache.put(number.to_bytes(32, "little"), outputs, 1e12)
    del outputs
    gc.collect()
    made_here = [tracemalloc.Filter(inclusive=True, filename_pattern=file) for file in (__file__, memory.__file__)]
    traces = tracemalloc.take_snapshot().filter_traces(made_here).statistics("filename")
    tracemalloc.stop()
    taken = sum(one.size for one in traces)
    assert cache.size <= cache.capacity
    assert 0.6 * cache.size < taken < 1.1 * cache.size

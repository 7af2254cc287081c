"""What is counted in a table can be read in the same memory, and is gone on with."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mlbuffet.telemetry.counter_table import CounterTable

KEYS = [("a",), ("requests", "model-1.x", 2**63 - 1, "v2", 200), ("é" * 255, 0), ("", "")]


@pytest.fixture
def memory() -> memoryview:
    return memoryview(bytearray(4096))


def numbers(table: CounterTable) -> dict[object, list[float]]:
    return {key: list(values) for key, values in table.items()}


def test_others_read_what_was_counted(memory: memoryview) -> None:
    table = CounterTable(memory)
    for size, key in enumerate(KEYS, start=1):
        table.values(key, size)[size - 1] += 0.5
        table.values(key)[0] += 2**53 - 1
    assert numbers(CounterTable(memory)) == numbers(table)
    assert numbers(table)[KEYS[1]] == [2**53 - 1, 0.5]


def test_a_successor_goes_on(memory: memoryview) -> None:
    for life in range(1, 4):
        table = CounterTable(memory)
        table.add(("a",), [1, 2])
        table.add(("of one life", life), [1])
        assert numbers(table)[("a",)] == [life, 2 * life]
    assert len(table.items()) == 4


def test_what_is_being_added_while_a_process_is_killed_is_no_entry(memory: memoryview) -> None:
    CounterTable(memory).values(("a",))[0] = 1
    (end,) = [len(memory.obj.rstrip(b"\0"))]  # type: ignore[attr-defined]
    end += -end % 8
    memory[end + 8 : end + 200] = b"x" * 192  # a key without what says that it is there
    assert numbers(CounterTable(memory)) == {("a",): [1]}
    table = CounterTable(memory)
    table.values(("b",), 3)
    assert numbers(CounterTable(memory)) == numbers(table) == {("a",): [1], ("b",): [0, 0, 0]}


def test_what_finds_no_room_is_counted_in_the_process(memory: memoryview) -> None:
    table = CounterTable(memory)
    for number in range(500):
        table.add(("a", number), [1])
    assert sum(values[0] for _, values in table.items()) == 500
    shared = numbers(CounterTable(memory))
    assert 0 < len(shared) < 500
    assert set(map(tuple, shared.values())) == {(1,)}


def test_threads_lose_nothing() -> None:
    table = CounterTable()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: table.add(("a", number % 3), [1]), range(3000)))
    assert numbers(table) == {("a", one): [1000] for one in range(3)}

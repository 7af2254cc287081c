import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Thread
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from mlbuffet.isolation.channel import Channel, ProcessGone, ServedChannel
from mlbuffet.isolation.messages import Packed, Packer, Received

Answer = Callable[[dict[str, NDArray[Any]]], dict[str, NDArray[Any]]]


@pytest.fixture
def channel() -> Iterator[Callable[[Answer], Channel]]:
    """A function that makes a channel whose other end answers so, in a thread."""
    with ExitStack() as stack:

        def made(answer: Answer) -> Channel:
            packer = Packer()

            def respond(received: Received) -> Packed:
                return packer.pack(("ok",), answer(received.tensors))

            one = Channel()
            memory, requested, answered = map(os.dup, one.files)
            other = ServedChannel((memory, requested, answered))
            thread = Thread(target=other.serve, args=[respond])
            thread.start()
            stack.callback(one.close)
            stack.callback(thread.join)
            stack.callback(other.close)
            return one

        yield made


def call(channel: Channel, tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    channel.begin(Packer().pack(("predict", "serving_default", None), tensors))
    return channel.finish(20).tensors


ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array(7, np.int64),
    np.array([], np.float16),
    np.zeros((0, 3), bool),
    np.arange(12, dtype=np.complex64)[::2],
    np.arange(6).reshape(2, 3).T,
    np.array([1.5, -2], ml_dtypes.bfloat16),
    np.array([1, 7], ml_dtypes.int4),
    np.arange(4, dtype=">i4"),
    np.array([b"a", b"", b"\0\xff", "ä".encode()], object).reshape(2, 2),
    np.array(b"scalar", object),
    np.array([], object),
    np.random.default_rng(0).random(100_000),
    np.random.default_rng(0).random((300, 400)).T,
    np.array([b"x" * 70_000, b"y"] * 3, object),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda one: f"{one.dtype} {one.shape}")
def test_arrays_arrive_as_they_were_sent(channel: Callable[[Answer], Channel], array: NDArray[Any]) -> None:
    echo = channel(lambda tensors: tensors)
    for _ in range(3):
        found = call(echo, {"x": array, "y": np.ones(3, np.float32)})
        assert found["x"].dtype == array.dtype
        assert found["x"].shape == array.shape
        assert found["x"].tolist() == array.tolist()
        assert found["y"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("size", [10, 100_000])
def test_answers_stay_as_they_are(channel: Callable[[Answer], Channel], size: int) -> None:
    double = channel(lambda tensors: {"y": tensors["x"] * 2})
    kept = [call(double, {"x": np.full(size, number, np.float32)})["y"] for number in range(20)]
    assert [set(one.tolist()) for one in kept] == [{2.0 * number} for number in range(20)]
    views = [one[1:3] for one in kept]
    del kept
    for number in range(20):
        call(double, {"x": np.full(size, number, np.float32)})
    assert [set(one.tolist()) for one in views] == [{2.0 * number} for number in range(20)]


@pytest.mark.parametrize("size", [10, 100_000])
def test_what_the_other_end_keeps_stays_as_it_is(channel: Callable[[Answer], Channel], size: int) -> None:
    kept: list[NDArray[Any]] = []

    def keep(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        kept.append(tensors["x"])
        return {}

    one = channel(keep)
    for number in range(10):
        call(one, {"x": np.full(size, number, np.float32)})
    assert [set(array.tolist()) for array in kept] == [{float(number)} for number in range(10)]


def test_memory_is_used_again(channel: Callable[[Answer], Channel]) -> None:
    kept: list[NDArray[Any]] = []

    def keep_two(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        kept[:] = [*kept[-1:], tensors["x"]]
        return {"y": tensors["x"] + 1}

    one = channel(keep_two)
    sizes = []
    for number in range(40):
        call(one, {"x": np.full(100_000, number, np.float32)})
        sizes.append(os.fstat(one.files[0]).st_size)
    assert sizes[10] == sizes[-1]


def test_a_larger_answer_than_any_before_arrives(channel: Callable[[Answer], Channel]) -> None:
    grow = channel(lambda tensors: {"y": np.arange(int(tensors["x"]))})
    for size in (1, 3_000, 10, 1_000_000, 0, 300_000):
        assert call(grow, {"x": np.array(size)})["y"].tolist() == list(range(size))


def test_an_answer_that_takes_too_long_can_be_waited_for_again(channel: Callable[[Answer], Channel]) -> None:
    from threading import Event

    gate = Event()

    def wait(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        assert gate.wait(20)
        return tensors

    one = channel(wait)
    one.begin(Packer().pack(("predict", "s", None), {"x": np.ones(2)}))
    with pytest.raises(TimeoutError):
        one.finish(0.01)
    gate.set()
    assert one.finish(20).tensors["x"].tolist() == [1, 1]


def test_who_waits_is_told_that_the_process_has_ended() -> None:
    one = Channel()
    one.wake()
    with pytest.raises(ProcessGone):
        one.finish()
    one.close()


@pytest.mark.parametrize("array", [np.array(["text"], object), np.array(["a"], "T")])
def test_what_is_no_tensor_is_not_sent(array: NDArray[Any]) -> None:
    with pytest.raises(TypeError):
        Packer().pack(("predict",), {"x": array})

"""What a model says of its limits goes before what the server says, key by key."""

import pytest

from mlbuffet.scheduling import Limits
from mlbuffet.scheduling.limit_settings import available_cores


def test_a_key_that_is_left_out_is_that_of_the_defaults() -> None:
    defaults = Limits(max_concurrency=3, max_queue=4)
    assert Limits().completed(defaults) == defaults
    assert Limits(max_queue=0).completed(defaults) == Limits(max_concurrency=3, max_queue=0)
    assert Limits(max_concurrency=1).completed(defaults) == Limits(max_concurrency=1, max_queue=4)


@pytest.mark.parametrize("limits", [Limits(), Limits().completed(Limits())])
def test_where_nobody_says_anything_there_is_a_call_for_each_core_and_a_long_queue(limits: Limits) -> None:
    assert (limits.concurrency, limits.queue) == (max(2, available_cores()), 512)

"""The search for settings finds those with which real small models answer most."""

from pathlib import Path

import mlbuffet
from mlbuffet.planning.callers import CallersPoint
from mlbuffet.planning.tuning import Setting, Trial, Tried, Wanted, chosen, described, try_settings
from mlbuffet.scheduling import Batching, Limits
from python_models import write_model
from small_runtimes import small_runtimes

WAITS = """
@signature
def predict(self, x: Float32["batch", 2]) -> {"y": Float32["batch", 2]}:
    time.sleep(0.02)
    return {"y": x * 2}
"""


def tried(path: Path, *, batching: Batching | None = None, wanted: Wanted | None = None) -> Tried:
    told: list[str] = []
    with mlbuffet.load(path, runtimes=small_runtimes() if path.suffix == ".half" else None) as model:
        found = try_settings(
            model,
            wanted or Wanted(),
            cores=2,
            scheduling=Limits(2),
            batching=batching,
            samples=None,
            tell=told.append,
        )
    assert told == [described(one.setting) for one in found.trials]
    return found


def trial(rate: float, p99: float, concurrency: int = 1, max_size: int = 1) -> Trial:
    return Trial(
        Setting(1, concurrency, max_size),
        [CallersPoint(1, rate / 2, p99 / 4, p99 / 4), CallersPoint(4, rate, p99 / 2, p99)],
    )


def test_a_model_that_waits_answers_more_with_more_calls_at_once_or_with_batches(tmp_path: Path) -> None:
    path = write_model(tmp_path / "waits", WAITS, header="import time\nfrom mlbuffet_python import *\n\n")
    found = tried(path)
    rates = {one.setting: one.rate() for one in found.trials}
    assert found.trials[0].setting == Setting(None, 2)
    assert rates[Setting(None, 1)] < 60
    assert rates[Setting(None, 8)] > 1.5 * rates[Setting(None, 2)]
    assert rates[Setting(None, 1, 8)] > 3 * rates[Setting(None, 1)]
    best = chosen(found.trials, None)
    assert best is not None
    assert best.rate() > 5 * rates[Setting(None, 2)]
    within = chosen(found.trials, 0.03)
    assert within is not None
    point = within.best(0.03)
    assert point is not None
    assert point.p99 <= 0.03


def test_a_model_whose_rows_are_not_independent_is_not_batched(tmp_path: Path) -> None:
    method = WAITS.replace("x * 2", "x - x.mean()")
    path = write_model(tmp_path / "mean", method, header="import time\nfrom mlbuffet_python import *\n\n")
    found = tried(path, batching=Batching(8))
    assert "depends on the rows beside it" in found.unbatched
    assert {one.setting.max_size for one in found.trials} == {1}


def test_settings_that_are_named_are_tried_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "good.half"
    path.write_text("half")
    settings = [Setting(None, 1, 8), Setting(None, 2)]
    found = tried(path, wanted=Wanted(settings=settings))
    assert [one.setting for one in found.trials] == settings
    assert found.threads_option is None
    assert [point.callers for point in found.trials[0].points] == [1, 4, 16]
    assert all(point.rate > 0 < point.p50 <= point.p99 for one in found.trials for point in one.points)


def test_preferred_sizes_stay_within_the_batches_that_are_tried() -> None:
    assert Setting(1, 1, 4, preferred_sizes=(1, 4)).batches == (8, 32)
    assert Setting(1, 1, 16, preferred_sizes=(1, 16)).batches == (32,)
    assert Setting(1, 1, 64, preferred_sizes=(1, 64)).batches == (64,)


def test_the_present_settings_stay_where_others_are_hardly_better() -> None:
    present, better = trial(100, 0.1), trial(104, 0.1, concurrency=2)
    assert chosen([present, better], None) is present
    much = trial(110, 0.1, concurrency=3)
    assert chosen([present, better, much], None) is much


def test_of_settings_that_answer_as_much_the_one_is_taken_that_keeps_nobody_waiting() -> None:
    delayed = Trial(Setting(1, 1, 8, 5.0), trial(210, 0.1).points)
    batched, single = trial(205, 0.1, max_size=8), trial(200, 0.1, concurrency=2)
    assert chosen([trial(100, 0.1), delayed, batched, single], None) is single
    assert chosen([trial(100, 0.1), delayed, batched], None) is batched


def test_a_limit_counts_only_what_keeps_it() -> None:
    present, quick = trial(100, 0.2), trial(80, 0.05, concurrency=2)
    assert chosen([present, quick], 0.05) is quick
    assert chosen([present, quick], 0.01) is None
    assert present.best(0.01) is None
    assert present.rate(0.01) == 0

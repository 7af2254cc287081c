"""What a front makes of what processes report, and what a directory remembers of it."""

import asyncio
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbuffet import InvalidInput, ModelNotFound, ModelNotReady, Signature, Signatures, TensorSpec
from mlbuffet.errors import AmbiguousRuntime, MLBuffetError, NoRuntime, UploadRefused
from mlbuffet.inference import ModelDescription, ModelSelector, State, VersionStatus
from mlbuffet.telemetry.version_statistics import RunCounts, VersionCounts

pytest.importorskip("ray")

from mlbuffet_ray import directory
from mlbuffet_ray.cluster_view import ClusterView
from mlbuffet_ray.directory import Directory
from mlbuffet_ray.grpc_calls import GrpcCalls
from mlbuffet_ray.grpc_methods import PATHS
from mlbuffet_ray.reports import Fulfilment, ModelReport, Report, VersionReport, portable
from mlbuffet_ray.statistics import added

x = TensorSpec("x", np.float32, (None,))
SIGNATURES = Signatures({"serving_default": Signature([x], [x])})


def version(number: int, state: State = State.READY) -> VersionReport:
    status = VersionStatus(
        "m", number, state, "" if state is State.READY else "because", retired=False, retry_after=None
    )
    described = ModelDescription("m", number, "half", "half", SIGNATURES, [number], None)
    return VersionReport(status, described if state is State.READY else None, state is not State.READY)


def report(process: str, *versions: VersionReport, default: int = 1, **facts: Any) -> Report:
    model = ModelReport({one.status.version: one for one in versions}, default, {"first": 1})
    whole: dict[str, Any] = {"is_front": False, "attempted": True, "fulfilments": {}, "counts": {}, **facts}
    return Report(process=process, models={"m": model}, **whole)


def view_of(*reports: Report, on_disk: Mapping[str, int] | None = None) -> ClusterView:
    view = ClusterView(frozenset({"m"}), (on_disk or {}).get)
    view.update(reports)
    return view


def default_of(view: ClusterView) -> int:
    return view.find(ModelSelector("m")).status.version


def test_a_new_default_waits_for_every_replica() -> None:
    view = view_of(report("a", version(1)), report("b", version(1)))
    assert default_of(view) == 1
    view.update([report("a", version(1), version(2), default=2), report("b", version(1))])
    assert default_of(view) == 1
    view.update([report("a", version(2), default=2), report("b", version(2), default=2)])
    assert default_of(view) == 2


def test_a_default_that_is_gone_everywhere_is_replaced_at_once() -> None:
    view = view_of(report("a", version(1)), report("b", version(1)))
    view.update([report("a", version(3), default=3), report("b", version(2), default=2)])
    assert default_of(view) == 3


def test_a_version_answers_where_one_replica_has_it() -> None:
    view = view_of(report("a", version(1, State.FAILED)), report("b", version(1)))
    assert view.ready(ModelSelector("m", 1)).version == 1
    view.update([report("a", version(1, State.FAILED))])
    with pytest.raises(ModelNotReady, match="version 1 of the model 'm' is not ready: because"):
        view.ready(ModelSelector("m"))


def test_what_a_selector_means_is_as_in_a_repository() -> None:
    view = view_of(report("a", version(1), version(2), default=2))
    assert view.find(ModelSelector("m", label="first")).status.version == 1
    assert view.find(ModelSelector("m", 9, or_default=True)).status.version == 2
    with pytest.raises(ModelNotFound, match="there is no version 9 of the model 'm'; there are: 1, 2"):
        view.find(ModelSelector("m", 9))
    with pytest.raises(ModelNotFound, match="label 'lost'; there are: 'first'"):
        view.find(ModelSelector("m", label="lost"))


def test_a_model_without_a_replica_is_awaited_if_it_is_on_disk() -> None:
    with pytest.raises(ModelNotReady, match="none of its replicas has started yet"):
        view_of(on_disk={"m": 4}).ready(ModelSelector("m"))
    with pytest.raises(ModelNotFound):
        view_of().ready(ModelSelector("m"))


def test_an_upload_is_there_when_all_have_it() -> None:
    view = view_of(report("a", version(1), version(2), default=2), report("b", version(1)))
    assert not view.is_loaded("m", 2, is_default=True)
    view.update([report("a", version(2), default=2), report("b", version(1), version(2))])
    assert view.is_loaded("m", 2, is_default=False)
    assert not view.is_loaded("m", 2, is_default=True)
    view.update([report("a", version(2), default=2), report("b", version(2, State.FAILED))])
    with pytest.raises(UploadRefused, match="because"):
        view.is_loaded("m", 2, is_default=True)


def test_an_order_is_done_when_all_have_done_it() -> None:
    done, failed = Fulfilment(7, error=None, is_load=True), Fulfilment(7, is_load=True, error=InvalidInput("no"))
    view = view_of(report("a", version(1), fulfilments={"m": done}), report("b", version(1)))
    assert view.fulfilment("m", 7) is None
    view.update([report("a", version(1), fulfilments={"m": done}), report("b", version(1), fulfilments={"m": failed})])
    assert view.fulfilment("m", 7) == failed


def test_counts_are_added_up() -> None:
    one = VersionCounts({1: RunCounts(2, 3, 4, 5)}, 10, succeeded=2, rows=2)
    other = VersionCounts({1: RunCounts(1, 1, 1, 1), 8: RunCounts(1)}, 7, succeeded=3, rows=9)
    (found,) = added([{("m", 1): one}, {("m", 1): other}]).values()
    assert found == VersionCounts({1: RunCounts(3, 4, 5, 6), 8: RunCounts(1)}, last_inference=10, succeeded=5, rows=11)


def test_a_directory_says_what_it_knows_once_it_knows_of_every_model() -> None:
    async def asked() -> None:
        known = Directory(frozenset({"m", "n"}))
        await known.exchange(report("a", version(1)), 0, 0.0)
        assert await known.reports(0, 0.0) is None
        other = report("b", version(1))._replace(models={"n": report("b", version(1)).models["m"]})
        await known.exchange(other, 0, 0.0)
        found = await known.reports(0, 0.0)
        assert found is not None
        assert {one.process for one in found.reports} == {"a", "b"}
        waiting = asyncio.create_task(known.reports(found.number, 30.0))
        await known.exchange(report("a", version(1), version(2)), 0, 0.0)
        changed = await waiting
        assert changed is not None
        assert changed.number > found.number

    asyncio.run(asked())


def test_orders_reach_those_that_wait_and_outlive_a_directory() -> None:
    async def asked() -> None:
        first = Directory(frozenset({"m"}))
        waiting = asyncio.create_task(first.exchange(report("a", version(1)), 0, 30.0))
        await asyncio.sleep(0)
        number = await first.order("m", is_load=False)
        (order,) = await waiting
        assert (order.number, order.model, order.is_load) == (number, "m", False)
        second = Directory(frozenset({"m"}))
        told = report("a", version(1), fulfilments={"m": Fulfilment(number, is_load=False, error=None)})
        await second.exchange(told, number, 0.0)
        assert [one.number for one in await second.exchange(report("b", version(1)), 0, 0.0)] == [number]

    asyncio.run(asked())


def test_a_silent_process_is_forgotten_unless_it_was_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked() -> None:
        known = Directory(frozenset({"m"}))
        for process in ("a", "b"):
            await known.exchange(report(process, version(1)), 0, 0.0)
        monkeypatch.setattr(directory, "SILENT", -1.0)
        found = await known.reports(0, 0.0)
        assert found is not None
        assert [one.process for one in found.reports] == ["b"]

    asyncio.run(asked())


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("x is wrong", detail="inside"),
        ModelNotReady("m", 2, "loading", 1.5),
        AmbiguousRuntime(Path("m"), ["a", "b"]),
        NoRuntime(Path("m"), ["a"], {"b": OSError(lambda: None)}),  # which cannot be pickled
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel_with_their_texts(error: MLBuffetError) -> None:
    there = pickle.loads(pickle.dumps(portable(error)))
    assert (type(there), str(there), there.public) == (type(error), str(error), error.public)


def test_every_method_of_grpc_is_passed_on() -> None:
    from mlbuffet.server import ServerSettings
    from mlbuffet.telemetry.worker import Sample, WorkerTelemetry

    telemetry = WorkerTelemetry(lambda: Sample([], {}, {}))
    calls = GrpcCalls(None, ServerSettings(), telemetry.requests, lambda: True)  # type: ignore[arg-type]
    services = calls._services.values()
    assert {f"/{one.name}/{name}" for one in services for name in (*one.methods, *one.not_offered)} == set(
        PATHS.values()
    )

"""What benchmarks say of their figures, without measuring any."""

from dataclasses import replace
from itertools import count
from pathlib import Path
from shutil import copy

import numpy as np
import orjson
import pytest
from rich.progress import Progress

from artifacts import Artifact
from figures import Key, Outcome
from mlbuffet.grpc.messages.open_inference import ModelInferRequest, ModelInferResponse
from report import not_measured, write_page
from results import read, save
from rounds import alternate
from run import CASES, RESULTS
from serving import bodies, grpc_messages
from serving.h2load import round_of
from serving.server import NotServing, check
from targets import TARGETS, Target

SLOW, FAST = Key("slow", "alone"), Key("fast", "alone")
OUTCOME = Outcome(
    case="race",
    title="A race",
    unit="laps/s",
    rounds={
        SLOW: [{"laps/s": 1.0}, {"laps/s": 2.0}, {"laps/s": 8.0}],
        FAST: [{"laps/s": 3.0}, {"laps/s": 4.0}, {"laps/s": 8.0}],
    },
    absent={"snail": "it cannot be installed"},
)
MODEL = Artifact("m", Path(), Path(), {"x": np.ones((1, 2), np.float32)}, {"y": np.array([0.25, 0.75], np.float32)})


def test_rounds_alternate_and_the_first_only_warms_up() -> None:
    calls = count()
    measures = {key: lambda: {"call": float(next(calls))} for key in (SLOW, FAST)}
    found = alternate(measures, 2, Progress(disable=True))
    assert found == {SLOW: [{"call": 2.0}, {"call": 4.0}], FAST: [{"call": 3.0}, {"call": 5.0}]}


def test_a_ratio_is_the_median_of_the_ratios_within_rounds() -> None:
    assert OUTCOME.baseline(FAST) == SLOW
    assert OUTCOME.median(FAST) == 4
    assert OUTCOME.ratio(FAST, SLOW) == 2


def test_results_come_back_as_they_were_saved(tmp_path: Path) -> None:
    save(OUTCOME, {"cpu": "abacus"}, tmp_path)
    assert read(tmp_path / "race.json") == (OUTCOME, {"cpu": "abacus"})


@pytest.mark.parametrize(
    ("bounds", "reached"),
    [({"at_least": 2}, True), ({"at_least": 2.1}, False), ({"at_most": 2}, True), ({"at_most": 1.9}, False)],
)
def test_a_target_is_reached_or_not(*, bounds: dict[str, float], reached: bool) -> None:
    target = Target("race", FAST, (SLOW, Key("nobody")), **bounds)  # type: ignore[arg-type]  # a dict of bounds alone
    measured = target.measured({"race": OUTCOME})
    assert measured == 2
    assert target.reached(measured) is reached


def test_a_target_takes_the_best_of_its_rivals_and_nothing_for_what_was_not_measured() -> None:
    assert Target("race", SLOW, (SLOW, FAST), at_least=1).measured({"race": OUTCOME}) == 0.5
    assert Target("race", FAST, (Key("nobody"),), at_least=1).measured({"race": OUTCOME}) is None
    assert Target("race", FAST, (SLOW,), at_least=1).measured({}) is None


def test_what_was_not_measured_is_told_with_its_reason() -> None:
    cases = [replace(CASES[0], name=name, asked_for=name == "walk") for name in ("race", "swim", "walk")]
    assert not_measured({"race": OUTCOME}, cases) == [
        "race, snail: it cannot be installed",
        "left out: swim",
        "measured only when named: walk",
    ]


def test_every_target_names_a_case() -> None:
    assert {target.case for target in TARGETS} <= {case.name for case in CASES}


def test_the_page_of_results_is_made_of_the_files_beside_it(tmp_path: Path) -> None:
    for file in RESULTS.glob("*.json"):
        copy(file, tmp_path)
    write_page(tmp_path)
    assert (tmp_path / "README.md").read_text() == (RESULTS / "README.md").read_text()


@pytest.mark.parametrize(
    "answer",
    [
        {"outputs": [{"name": "y", "shape": [1, 2], "data": [0.25, 0.75]}]},
        {"y": [[0.25, 0.75]], "id": None},
        {"predictions": {"label": [2], "y": [[0.25, 0.75]]}},
    ],
)
def test_an_answer_is_right_in_whatever_form(answer: dict[str, object]) -> None:
    check(bodies.numbers_of(orjson.dumps(answer), {}), MODEL)


def test_a_binary_answer_is_read() -> None:
    head = orjson.dumps({"outputs": [{"datatype": "FP32", "parameters": {"binary_data_size": 8}}]})
    headers = {"inference-header-content-length": str(len(head))}
    check(bodies.numbers_of(head + MODEL.outputs["y"].tobytes(), headers), MODEL)


def test_a_wrong_answer_is_refused() -> None:
    with pytest.raises(NotServing, match="its answer is wrong in 'y'"):
        check(np.array([0.75, 0.25]), MODEL)


def test_a_binary_request_carries_the_memory_of_its_arrays() -> None:
    body = bodies.open_inference_binary(MODEL)
    length = int(body.headers["Inference-Header-Content-Length"])
    assert orjson.loads(body.content[:length])["inputs"][0]["parameters"] == {"binary_data_size": 8}
    assert body.content[length:] == MODEL.inputs["x"].tobytes()


def test_a_request_of_grpc_is_one_message_behind_its_head() -> None:
    body = grpc_messages.raw_tensors(MODEL)
    message = ModelInferRequest.FromString(body.content[5:])
    assert body.content[:5] == b"\0" + len(body.content[5:]).to_bytes(4, "big")
    assert message.raw_input_contents == [MODEL.inputs["x"].tobytes()]
    assert [(one.name, one.datatype, one.shape) for one in message.inputs] == [("x", "FP32", [1, 2])]


@pytest.mark.parametrize("raw", [True, False])
def test_an_answer_of_grpc_is_read(*, raw: bool) -> None:
    tensor = {"name": "y", "datatype": "FP32", "shape": [2]}
    contents = {"contents": {"fp32_contents": MODEL.outputs["y"].tolist()}}
    response = ModelInferResponse(
        outputs=[tensor if raw else {**tensor, **contents}],
        raw_output_contents=[MODEL.outputs["y"].tobytes()] if raw else [],
    )
    check(grpc_messages.numbers_of(response.SerializeToString()), MODEL)


H2LOAD = """
finished in 2.00s, 2.00 req/s, 206.46KB/s
requests: 4 total, {started} started, 4 done, {succeeded} succeeded, {failed} failed, {failed} errored, 0 timeout
status codes: 4 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 412.93KB (422841) total, 8.83KB (9039) headers (space savings 96.27%), 0.1KB ({data}) data
"""
LOG = "".join(f"{1_700_000_000_000_000 + begin}\t200\t1000\n" for begin in (0, 500, 1000, 1000))


@pytest.mark.parametrize(
    ("data", "started", "succeeded", "good", "bad"),
    [
        pytest.param(400, 4, 4, 4, 0, id="all are good"),
        pytest.param(450, 5, 4, 3, 0, id="one is under way, and may be what sent data"),
        pytest.param(300, 4, 4, 3, 1, id="one has failed"),
        pytest.param(0, 4, 4, 0, 4, id="all have failed"),
        pytest.param(300, 4, 3, 3, 1, id="a stream was reset"),
    ],
)
def test_a_call_that_failed_is_no_good_answer(data: int, started: int, succeeded: int, good: int, bad: int) -> None:
    report = H2LOAD.format(data=data, started=started, succeeded=succeeded, failed=4 - succeeded)
    found = round_of(report, LOG, answer_size=100)
    assert found == {"answers": good, "requests/s": good / 0.002, "p50 ms": 1, "p99 ms": 1, "bad answers": bad}


def test_a_server_that_answers_nothing_in_a_round_has_no_good_answers() -> None:
    report = H2LOAD.format(data=0, started=1, succeeded=0, failed=0).replace("4 done", "0 done")
    assert round_of(report, "", answer_size=100)["requests/s"] == 0


def test_a_report_that_is_not_understood_is_an_error() -> None:
    with pytest.raises(ValueError, match="h2load reports nothing like"):
        round_of("nothing", LOG, answer_size=100)

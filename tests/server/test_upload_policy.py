"""What becomes of uploads that can do more than compute, by the policy of the server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dangerous_runtimes import RUNS_A_PROGRAM, Knowing, Plain
from mlbuffet import Runtimes, create_app
from mlbuffet.repository.publishing import Publisher
from mlbuffet.repository.upload_policy import UploadPolicy
from uploading import RunApp, uploading, visible, zipped

PICKLE = zipped({"x.danger": b"fine", "helper.pkl": RUNS_A_PROGRAM})


@pytest.fixture
def runtimes() -> Runtimes:
    found = Runtimes()
    found.register(Knowing, name="knowing")
    return found


@pytest.mark.parametrize("policy", ["strict", "warn", "off"])
def test_a_risk_refuses_an_upload_is_logged_or_is_not_looked_for(
    tmp_path: Path, run_app: RunApp, runtimes: Runtimes, caplog: pytest.LogCaptureFixture, policy: UploadPolicy
) -> None:
    with uploading(tmp_path / "models", run_app, runtimes=runtimes, policy=policy) as server:
        assert server.push("harmless", ("x.danger", b"fine")).status_code == 201
        assert "can run code" not in caplog.text
        answer = server.push("m", ("x.danger", b"crash" if policy == "strict" else b"other"))
        text = "it can run code of its maker and reach other machines: it calls home; it runs a program"
        assert (text in caplog.text) == (policy != "off")
        if policy == "strict":
            assert answer.status_code == 422
            assert answer.json()["error"].endswith(
                f"{text}. This server takes no such uploads (--upload-policy strict): whoever runs it can put the "
                "model into its folder, or start it with --upload-policy warn"
            )
            assert visible(server.root) == ["harmless/1/model.danger"]
        else:
            assert answer.status_code == 201


def test_what_the_owner_of_the_model_allows_is_no_risk(tmp_path: Path, run_app: RunApp, runtimes: Runtimes) -> None:
    (tmp_path / "models" / "m").mkdir(parents=True)
    (tmp_path / "models" / "m" / "model.toml").write_text("[options]\ntrusted = true\n")
    with uploading(tmp_path / "models", run_app, runtimes=runtimes, policy="strict") as server:
        assert server.push("m", ("x.danger", b"other")).status_code == 201
        assert server.push("n", ("x.danger", b"other")).status_code == 422


def test_an_artifact_that_cannot_be_read_is_refused_without_what_a_library_says(
    tmp_path: Path, run_app: RunApp, runtimes: Runtimes
) -> None:
    with uploading(tmp_path / "models", run_app, runtimes=runtimes, policy="warn") as server:
        answer = server.push("m", ("x.danger", b"torn"))
    assert answer.status_code == 422
    assert "what it can do cannot be read from it" in answer.json()["error"]
    assert "secret" not in answer.text


def test_pickles_are_found_without_the_runtime(tmp_path: Path, run_app: RunApp) -> None:
    runtimes = Runtimes()
    runtimes.register(Plain, name="plain")
    with uploading(tmp_path / "models", run_app, runtimes=runtimes, policy="strict") as server:
        answer = server.push("m", ("m.zip", PICKLE))
    assert answer.status_code == 422
    assert "the pickle 'helper.pkl' calls posix.system when it is read" in answer.json()["error"]


@pytest.mark.parametrize(
    ("settings", "policy"),
    [
        ({"allow_changes": True}, "warn"),
        ({"admin_token": "t"}, "strict"),
        ({"admin_token": "t", "upload_policy": "off"}, "off"),
    ],
)
def test_an_embedded_application_is_strict_unless_programs_here_may_change_models(
    tmp_path: Path, runtimes: Runtimes, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], policy: str
) -> None:
    given: list[str] = []
    made: Callable[..., None] = Publisher.__init__

    def note(self: Publisher, *arguments: Any, **more: Any) -> None:
        given.append(more["policy"])
        made(self, *arguments, **more)

    monkeypatch.setattr(Publisher, "__init__", note)
    create_app(tmp_path, runtimes=runtimes, **settings)
    assert given == [policy]

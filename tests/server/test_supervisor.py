"""The process that holds workers in number; what it does with them is tested as a command."""

import logging
import signal
import tempfile
from pathlib import Path

import pytest

from mlbuffet.server.processes.server_process import listen
from mlbuffet.server.processes.supervisor import Supervisor


def test_no_folder_for_temporary_files_is_told_before_any_worker_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # pytest has its own
    with listen("127.0.0.1", 0) as listener, caplog.at_level(logging.ERROR):
        assert Supervisor(2, lambda *_: None, listener).run() == 1
    (record,) = caplog.records
    assert record.getMessage() == (
        "workers need a folder for temporary files; TMPDIR can say where: No such file or directory"
    )


def test_no_memory_that_workers_can_share_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(name: str) -> int:
        raise OSError(24, "Too many open files", name)

    monkeypatch.setattr("mlbuffet.telemetry.counter_table.file_in_memory", fail)
    with listen("127.0.0.1", 0) as listener, caplog.at_level(logging.WARNING):
        Supervisor(2, lambda *_: None, listener)
    (record,) = caplog.records
    assert (
        record.getMessage() == "metrics are those of one worker, without memory that all can share: Too many open files"
    )

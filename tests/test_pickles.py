"""What pickles would call is read from them without unpickling any."""

import io
import os
import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from dangerous_runtimes import Runs
from mlbuffet import pickles
from mlbuffet.pickles import pickle_risks

RUNS = "calls posix.system when it is read"
BY_MEMO = b"\x80\x04\x8c\x06system\x94\x8c\x05posix\x94h\x01h\x00\x93\x8c\x02id\x85R."


def texts(path: Path, *, in_archives: bool = True) -> list[str]:
    return [risk.text for risk in pickle_risks(path, in_archives=in_archives)]


@pytest.mark.parametrize("protocol", range(6))
def test_what_a_pickle_calls_is_told(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps({"weights": np.ones(3), "more": Runs()}, protocol))
    assert texts(file) == [f"the pickle 'model.pkl' {RUNS}"]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [{"a": 1.5, "b": {2}}, [np.ones((3, 2)), np.float32(1), np.array(["x"], object)]])
def test_numbers_and_arrays_call_nothing(tmp_path: Path, protocol: int, value: object) -> None:
    (tmp_path / "values.pickle").write_bytes(pickle.dumps(value, protocol))
    assert texts(tmp_path) == []


@pytest.mark.parametrize("content", [BY_MEMO, pickle.dumps(1, 4) + BY_MEMO, BY_MEMO[:-3]])
def test_nothing_hides_in_a_memo_behind_another_pickle_or_by_being_cut(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert texts(tmp_path) == [f"the pickle 'x' {RUNS}"]


def test_zip_files_are_looked_into_where_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    with zipfile.ZipFile(tmp_path / "deep" / "all.zip", "w") as archive:
        archive.writestr("a/b.bin", pickle.dumps(Runs()))
        archive.writestr("a/c.bin", b"no pickle")
    assert texts(tmp_path, in_archives=False) == []
    assert texts(tmp_path) == [f"the pickle 'deep/all.zip/a/b.bin' {RUNS}"]
    damaged = (tmp_path / "deep" / "all.zip").read_bytes()
    (tmp_path / "deep" / "all.zip").write_bytes(damaged.replace(b"no pickle", b"no_pickle"))
    assert texts(tmp_path) == [f"the pickle 'deep/all.zip/a/b.bin' {RUNS}"]


def test_many_calls_are_shortened_and_a_long_pickle_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = io.BytesIO()
    for function in (os.system, os.remove, os.rename, os.mkdir):
        pickle.dump(function, many)
    (tmp_path / "many.pkl").write_bytes(many.getvalue())
    assert texts(tmp_path) == [
        "the pickle 'many.pkl' calls posix.mkdir, posix.remove, posix.rename and 1 more when it is read"
    ]
    monkeypatch.setattr(pickles, "LONGEST", 100)
    (tmp_path / "many.pkl").write_bytes(pickle.dumps(b"x" * 200, 4))
    assert texts(tmp_path) == ["the pickle 'many.pkl' is too long, so that it may call anything when it is read"]


def test_a_pickle_that_is_compressed_or_damaged_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(zlib.compress(pickle.dumps(Runs())))
    wanted = ["the pickle 'model.joblib' is compressed or damaged, so that it may call anything when it is read"]
    assert texts(tmp_path) == wanted
    (tmp_path / "weights.bin").write_bytes(b"\x80\x03no pickle")  # numbers may begin like one
    assert texts(tmp_path) == wanted

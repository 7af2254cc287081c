"""What pickles would call is read from them without unpickling any."""

import io
import os
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

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


@pytest.mark.parametrize("allowed", [False, True])
def test_arrays_of_objects_are_pickles_in_npy_and_npz_files(tmp_path: Path, *, allowed: bool) -> None:
    (tmp_path / "deep").mkdir()
    np.save(tmp_path / "a.npy", np.array([Runs()]))
    np.savez(tmp_path / "deep" / "b.npz", x=np.ones(3), y=np.array([1, "text", Runs()], object))
    wanted = [f"the pickle 'a.npy' {RUNS}", f"the pickle 'deep/b.npz/y.npy' {RUNS}"]
    assert texts(tmp_path, in_archives=allowed) == wanted


@pytest.mark.parametrize(
    "array", [np.ones((2, 3)), np.array(["O"]), np.zeros(2, [("O", "f4")]), np.array([b"x", 1], object)]
)
def test_other_arrays_call_nothing(tmp_path: Path, array: NDArray[Any]) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "b.npz", array)
    assert texts(tmp_path) == []


def npy_file(header: bytes, version: int, content: bytes) -> bytes:
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + content


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("dtype", [rb"'|O'", rb"'\x4f'", b"[('x', 'f4'), ('y', 'O')]"])
def test_no_pickle_hides_behind_a_header_of_numpy(tmp_path: Path, version: int, dtype: bytes) -> None:
    header = b"{'descr': " + dtype + b", 'fortran_order': False, 'shape': (1,)}\n"
    (tmp_path / "x").write_bytes(npy_file(header, version, pickle.dumps(Runs(), 0)))
    assert texts(tmp_path) == [f"the pickle 'x' {RUNS}"]


@pytest.mark.parametrize(
    "header", [b"{'descr'", b"{'descr': 'f4', 'fortran_order': False, 'shape': (" + b"1," * 9999 + b")}"]
)
def test_a_header_of_numpy_that_cannot_be_read_is_not_believed(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "x").write_bytes(npy_file(header, 1, b"numbers"))
    assert texts(tmp_path) == ["the pickle 'x' is compressed or damaged, so that it may call anything when it is read"]

"""What no runtime can load is told by its content, with what to do."""

import pickle
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

import mlbuffet
from mlbuffet import LoadFailed, NoRuntime, Runtimes
from mlbuffet_onnx.plugin import OnnxRuntime
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

NOISE = b"\x07\xff" + bytes(range(256)) * 16
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
TFLITE = b"\x1c\0\0\0TFL3" + bytes(64)
ORT = b"\x1c\0\0\0ORTM" + bytes(64)
HDF5 = b"\x89HDF\r\n\x1a\n" + b"keras_version"
ONNX = b"\x08\x0a\x12\x01a\x3a\x80\x10" + bytes(64)
"""The version of the format, a producer, and the head of a graph."""


@pytest.fixture
def two() -> Runtimes:
    """ONNX and TensorFlow, without those that serve what these two only know."""
    runtimes = Runtimes()
    runtimes.register(OnnxRuntime, name="onnx")
    runtimes.register(TensorFlowRuntime, name="tensorflow")
    return runtimes


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        *[(f"m{suffix}", TFLITE, "it is a TFLite file") for suffix in ("", ".bin", ".onnx", ".h5", ".pb", ".tflite")],
        *[(f"m{suffix}", ORT, "it is in ORT format") for suffix in ("", ".ort", ".onnx", ".bin")],
        *[(f"m{suffix}", NOISE, "empty, cut short or damaged") for suffix in (".h5", ".hdf5", ".keras", ".tflite")],
        *[(f"m{suffix}", b"", "empty, cut short or damaged") for suffix in (".h5", ".keras", ".tflite")],
        ("m.keras", b"PK\3\4cut", "empty, cut short or damaged"),
        ("m.onnx", NOISE, "the .onnx file is damaged"),
        ("m.onnx", b"", "the .onnx file is empty"),
        ("m/saved_model.pb", b"", "it is a SavedModel whose saved_model.pb is empty or damaged"),
        ("m/saved_model.pb", NOISE, "it is a SavedModel whose saved_model.pb is empty or damaged"),
        ("m/1/saved_model.pb", b"", "it is a SavedModel whose saved_model.pb is empty or damaged"),
        ("m/saved_model.pbtxt", b"", "it is a SavedModel whose saved_model.pb is empty or damaged"),
        ("m/x.ort", ORT, "it is in ORT format"),
    ],
)
def test_a_runtime_knows_what_is_damaged_or_made_for_devices(
    two: Runtimes, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(LoadFailed, match=reason) as caught:
        mlbuffet.load(tmp_path / Path(name).parts[0], runtimes=two)
    assert str(tmp_path) not in caught.value.public
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("m.onnx", LFS, "fetch the file itself with `git lfs pull`"),
        ("m/saved_model.pb", LFS, "its file 'saved_model.pb' is the pointer that Git keeps"),
        ("m.keras", b"\n<!DOCTYPE html>\n<html>", "it is a web page"),
        ("m.bin", b"<html>", "it is a web page"),
        ("m.pkl", pickle.dumps([1.5]), "it is a pickle of Python"),
        ("m.joblib", pickle.dumps([1.5], protocol=2), "it is a pickle of Python"),
        ("m.zip", b"PK\3\4cut", "it is a zip that is damaged or cut short"),
        ("m.bin", b"", "it is empty"),
        ("m.pb", b"", "it is empty"),
    ],
)
def test_what_is_no_model_is_told_as_what_it_is(
    installed: Runtimes, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    write(tmp_path / name, content)
    with pytest.raises(NoRuntime, match=reason) as caught:
        mlbuffet.load(tmp_path / Path(name).parts[0], runtimes=installed)
    assert str(tmp_path) not in caught.value.public


def keras_zip() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, b"{}")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        *[(f"m{suffix}", keras_zip(), "ends in .keras") for suffix in (".KERAS", ".zip", ".h5", ".onnx", ".bin", "")],
        *[(f"m{suffix}", HDF5, "ends in .h5") for suffix in (".H5", ".keras", ".onnx", ".bin", "")],
        *[(f"m{suffix}", ONNX, "ends in .onnx") for suffix in (".bin", ".pb", "")],
        ("m/x.bin", ONNX, "ends in .onnx"),
    ],
)
def test_a_model_under_another_name_is_told_its_own(
    installed: Runtimes, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    write(tmp_path / name, content)
    with pytest.raises(LoadFailed, match=f"under another name.*{reason}"):
        mlbuffet.load(tmp_path / Path(name).parts[0], runtimes=installed)


def test_a_zip_of_pickles_is_told(installed: Runtimes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.bin", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(NoRuntime, match="it is a zip of pickles of Python"):
        mlbuffet.load(tmp_path / "m.bin", runtimes=installed)


def test_one_file_of_a_saved_model_leads_to_its_folder(installed: Runtimes, tmp_path: Path) -> None:
    write(tmp_path / "m/saved_model.pb", b"\x08\x01")
    with pytest.raises(LoadFailed, match="give the folder that it lies in"):
        mlbuffet.load(tmp_path / "m/saved_model.pb", runtimes=installed)


def test_a_pointer_instead_of_a_models_weights_is_why_it_fails(runtimes: Runtimes, tmp_path: Path) -> None:
    write(tmp_path / "m.half", b"no half")
    write(tmp_path / "m.half.data", LFS)
    with pytest.raises(LoadFailed, match=r"by the runtime 'half': its file 'm.half.data' is the pointer"):
        mlbuffet.load(tmp_path / "m.half", runtimes=runtimes)


def test_a_file_that_is_only_explained_stands_in_nobodys_way(two: Runtimes, tmp_path: Path) -> None:
    from mlbuffet.repository import find_models

    write(tmp_path / "m.onnx", b"\x08\x08\x3a\x00")
    write(tmp_path / "m.tflite", TFLITE)
    write(tmp_path / "o.ort", ORT)
    write(tmp_path / "o.tflite", TFLITE)
    write(tmp_path / "n/1/m.onnx", b"\x08\x08\x3a\x00")
    write(tmp_path / "n/1/m.ort", ORT)
    found = find_models(tmp_path, two)
    places = [(model.name, model.versions[0].path.name, model.error) for model in found]
    assert places == [("m", "m.onnx", None), ("n", "1", None), ("o", "o.ort", None)]


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_folder_without_a_file_is_told(installed: Runtimes, tmp_path: Path) -> None:
    (tmp_path / "m/variables").mkdir(parents=True)
    with pytest.raises(NoRuntime, match="it is a folder without a file"):
        mlbuffet.load(tmp_path / "m", runtimes=installed)

"""Files that would grow to many times their size are refused before any of it is read, or written."""

import json
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import mlbuffet
from mlbuffet import LoadFailed, Runtimes
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LARGE = 2**28
GROWS = "grow more than 100 times"

PROGRAM = """
import json, os, resource, sys
from pathlib import Path

import mlbuffet
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

def most_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

runtimes = mlbuffet.Runtimes()
runtimes.register(TensorFlowRuntime(), name="tensorflow")
first, *others = map(Path, sys.argv[1:])
mlbuffet.load(first, runtimes=runtimes).close()
before, said = most_memory(), {}
for path in others:
    try:
        mlbuffet.load(path, runtimes=runtimes).close()
    except mlbuffet.LoadFailed as error:
        said[path.parent.name] = error.public
left = sum(path.stat().st_size for path in Path(os.environ["TMPDIR"]).rglob("*") if path.is_file())
print(json.dumps({"said": said, "memory": most_memory() - before, "left": left}))
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "model.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="dense")]).save(path)
    return path


def repacked(file: Path, target: Path, compression: int, **changes: bytes) -> Path:
    """A Keras file with other entries in it, by their names without suffixes."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, changes.get(name.partition(".")[0], old.read(name)))
    return target


def large_config(good: Path, folder: Path) -> Path:
    return repacked(good, folder / "m.keras", zipfile.ZIP_DEFLATED, config=bytes(LARGE))


def large_metadata(good: Path, folder: Path) -> Path:
    return repacked(good, folder / "m.keras", zipfile.ZIP_DEFLATED, metadata=bytes(LARGE))


def large_weights(good: Path, folder: Path) -> Path:
    return repacked(good, folder / "m.keras", zipfile.ZIP_DEFLATED, model=bytes(LARGE))


def lying_config(good: Path, folder: Path) -> Path:
    """Its directory says that it is as small as it should be, with the right sum for that part."""
    path = repacked(good, folder / "m.keras", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path) as archive:
        small = archive.read("config.json")
    repacked(good, path, zipfile.ZIP_DEFLATED, config=small + b" " * LARGE)
    data = bytearray(path.read_bytes())
    told = zlib.crc32(small).to_bytes(4, "little"), len(small).to_bytes(4, "little")
    for header, place in ((b"PK\3\4", 14), (b"PK\1\2", 16)):
        at = next(at for at in positions(data, header) if b"config.json" in data[at : at + 60])
        data[at + place : at + place + 4] = told[0]
        data[at + place + 8 : at + place + 12] = told[1]
    path.write_bytes(data)
    return path


def positions(data: bytearray, part: bytes) -> list[int]:
    return [at for at in range(len(data)) if data.startswith(part, at)]


def weights_never_written(good: Path, folder: Path) -> Path:
    with zipfile.ZipFile(good) as archive:
        (folder / "w.h5").write_bytes(archive.read("model.weights.h5"))
    with h5py.File(folder / "w.h5", "r+") as file:
        del file["layers/dense/vars/0"]
        file.create_dataset("layers/dense/vars/0", (LARGE // 4,), np.float32, chunks=(2**20,))
    return repacked(good, folder / "m.keras", zipfile.ZIP_STORED, model=(folder / "w.h5").read_bytes())


def compressed_weights(good: Path, folder: Path) -> Path:
    """The same compressed chunk again and again, in a file of the format before."""
    keras.saving.load_model(good).save(folder / "m.h5")
    chunk = zlib.compress(bytes(2**22))
    with h5py.File(folder / "m.h5", "r+") as file:
        layer = next(group for group in file["model_weights"].values() if len(group.attrs["weight_names"]))
        name = str(layer.attrs["weight_names"][0])
        del layer[name]
        kernel = layer.create_dataset(name, (LARGE // 4,), np.float32, chunks=(2**20,), compression="gzip")
        for number in range(LARGE // 2**22):
            kernel.id.write_direct_chunk((number * 2**20,), chunk)
    return folder / "m.h5"


def compressed_arrays(good: Path, folder: Path) -> Path:
    with zipfile.ZipFile(folder / "w.npz", "w", zipfile.ZIP_DEFLATED) as arrays:
        arrays.writestr("x.npy", bytes(LARGE))
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(folder / "m.keras", "w") as new:
        for name in ("config.json", "metadata.json"):
            new.writestr(name, old.read(name))
        new.write(folder / "w.npz", "model.weights.npz")
    return folder / "m.keras"


def zip_that_grows(good: Path, folder: Path) -> Path:
    with zipfile.ZipFile(folder / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(good, "m.keras")
        archive.writestr("assets/zeros", bytes(LARGE))
    return folder / "m.zip"


BOMBS: dict[Callable[[Path, Path], Path], str] = {
    large_config: GROWS,
    large_metadata: GROWS,
    large_weights: GROWS,
    lying_config: "",
    weights_never_written: GROWS,
    compressed_weights: GROWS,
    compressed_arrays: GROWS,
    zip_that_grows: GROWS,
}


def test_what_grows_is_refused_without_memory_and_files(good: Path, tmp_path: Path) -> None:
    paths = []
    for make in BOMBS:
        folder = tmp_path / make.__name__
        folder.mkdir()
        paths.append(make(good, folder))
        assert paths[-1].stat().st_size < LARGE / 100
    (tmp_path / "temporary").mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(good), *map(str, paths)],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    answer = json.loads(ran.stdout)
    for make, reason in BOMBS.items():
        if reason:
            assert reason in answer["said"][make.__name__], make
    assert answer["memory"] < LARGE / 4
    assert answer["left"] == 0


@pytest.fixture
def runtimes() -> Runtimes:
    runtimes = Runtimes()
    runtimes.register(TensorFlowRuntime(), name="tensorflow")
    return runtimes


def test_a_configuration_that_is_too_large_to_be_one_is_refused(good: Path, tmp_path: Path, runtimes: Runtimes) -> None:
    path = repacked(good, tmp_path / "m.keras", zipfile.ZIP_STORED, config=b"{}" + b" " * 2**26)
    with pytest.raises(LoadFailed, match=r"its config.json has 67108866 bytes, and 67108864 are read at most"):
        mlbuffet.load(path, runtimes=runtimes)


def test_a_file_with_names_that_lead_elsewhere_is_refused(good: Path, tmp_path: Path, runtimes: Runtimes) -> None:
    path = repacked(good, tmp_path / "m.keras", zipfile.ZIP_STORED)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/C:x", b"")
    with pytest.raises(LoadFailed, match="a colon"):
        mlbuffet.load(path, runtimes=runtimes)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_file_that_someone_packed_again_is_served(
    good: Path, tmp_path: Path, runtimes: Runtimes, compression: int
) -> None:
    path = repacked(good, tmp_path / "m.keras", compression)
    rows = np.array([[1, 2]], np.float32)
    with mlbuffet.load(good, runtimes=runtimes) as first, mlbuffet.load(path, runtimes=runtimes) as second:
        name = next(iter(first.signatures["serving_default"].inputs))
        outputs = [model.predict({name: rows}) for model in (first, second)]
    assert [array.tolist() for array in outputs[0].values()] == [array.tolist() for array in outputs[1].values()]


def test_archives_in_each_other_have_one_budget(good: Path, tmp_path: Path, runtimes: Runtimes) -> None:
    inner = repacked(good, tmp_path / "m.keras", zipfile.ZIP_DEFLATED, model=bytes(2**25))
    with zipfile.ZipFile(inner, "a") as archive:
        archive.writestr("assets/zeros", bytes(2**20))  # by itself, the file does not grow a hundredfold
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inner, "m.keras")
    with pytest.raises(LoadFailed, match="the Keras file is damaged"):
        mlbuffet.load(inner, runtimes=runtimes)
    with pytest.raises(LoadFailed, match=GROWS):
        mlbuffet.load(tmp_path / "m.zip", runtimes=runtimes)


def test_weights_that_are_compressed_are_served(good: Path, tmp_path: Path, runtimes: Runtimes) -> None:
    keras.saving.load_model(good).save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        layer = next(group for group in file["model_weights"].values() if len(group.attrs["weight_names"]))
        name = str(layer.attrs["weight_names"][0])
        kernel = layer[name][:]
        del layer[name]
        layer.create_dataset(name, data=kernel, compression="gzip")
    with mlbuffet.load(tmp_path / "m.h5", runtimes=runtimes) as model:
        assert model.signatures["serving_default"].outputs

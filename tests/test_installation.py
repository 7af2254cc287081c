"""An ordinary installation from a clone is a copy, which stays when the clone goes."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_NEEDED = shutil.ignore_patterns(".*", "build", "dist", "tests", "benchmarks", "__pycache__")
INSTALLED = Path(sysconfig.get_path("purelib"))
PIP = ["python", "-m", "pip", "install", "--disable-pip-version-check"]
UV = ["uv", "pip", "install", "--offline"]


def environment_with_dependencies(folder: Path) -> dict[str, str]:
    """The variables of a new environment in which all is installed that MLBuffet needs, and not MLBuffet."""
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for one in INSTALLED.iterdir():
        if "mlbuffet" in one.name:
            continue
        if one.suffix == ".dist-info":  # uv passes over links to such folders
            shutil.copytree(one, site / one.name)
        else:
            (site / one.name).symlink_to(one)
    path = [str(folder / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {**os.environ, "VIRTUAL_ENV": str(folder), "PATH": os.pathsep.join(path)}


@pytest.mark.parametrize("installer", [PIP, UV], ids=["pip", "uv"])
@pytest.mark.parametrize("asked", [[".", "./plugins/onnx"], [".[onnx]", "./plugins/onnx"], ["./plugins/onnx", "."]])
def test_an_installation_outlives_the_clone(tmp_path: Path, installer: list[str], asked: list[str]) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=NOT_NEEDED)
    environment = environment_with_dependencies(tmp_path / "venv")
    command = [*installer, "--no-index", "--no-build-isolation", *asked]
    subprocess.run(command, cwd=clone, env=environment, check=True)
    shutil.rmtree(clone)
    listed = ["python", "-m", "mlbuffet", "runtimes", "--json"]
    ran = subprocess.run(listed, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert '"name": "onnx"' in ran.stdout

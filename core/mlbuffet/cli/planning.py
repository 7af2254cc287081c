"""``mlbuffet plan``: measures the models of a folder, and says what they take for a load."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import msgspec
import typer

from mlbuffet.cli.measuring import Job, cores_here, measured, warmup_inputs
from mlbuffet.cli.model_loading import loaded
from mlbuffet.comparison import random_inputs
from mlbuffet.errors import LoadFailed
from mlbuffet.places import place_of
from mlbuffet.planning.measurement import Measurement
from mlbuffet.planning.plan import Measured
from mlbuffet.repository.sources import Sources
from mlbuffet.runtimes import Runtimes
from mlbuffet.server.protocols.open_inference.datatypes import DATATYPES
from mlbuffet.tensors import Signature

_RATE = re.compile(r"(?P<model>[^=]+)=(?P<rate>\d+(?:\.\d+)?)")
_LIMIT = re.compile(r"(\d+(?:\.\d+)?)\s?(ms|s)")
_REQUESTS = 300


def parse_rates(text: str) -> dict[str, float]:
    """The calls a second of each model: ``iris=500,resnet=20``. Raises `typer.BadParameter`."""
    rates: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        found = _RATE.fullmatch(part)
        if found is None or not float(found["rate"]):
            raise typer.BadParameter(f"{part!r} is no rate; write NAME=NUMBER of calls a second, such as iris=500")
        rates[found["model"]] = float(found["rate"])
    if not rates:
        raise typer.BadParameter("it names no model; write NAME=NUMBER of calls a second, such as iris=500")
    return rates


def parse_limit(text: str) -> float:
    """The seconds of ``50ms`` or ``1.5s``. Raises `typer.BadParameter`."""
    found = _LIMIT.fullmatch(text)
    if found is None or not float(found[1]):
        raise typer.BadParameter(f"{text!r} is no time; write such as 50ms or 1.5s")
    return float(found[1]) / (1000 if found[2] == "ms" else 1)


def check_plot(file: Path | None) -> None:
    """Raises `typer.BadParameter` where no picture can be written to ``file``."""
    if file is None:
        return
    if file.suffix not in (".png", ".svg"):
        raise typer.BadParameter(f"'{file}' must end in .png or .svg", param_hint="--plot")
    if not file.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder '{file.parent}'; make it", param_hint="--plot")
    if find_spec("matplotlib") is None:
        raise typer.BadParameter(
            "it takes a package that is not installed: pip install 'mlbuffet[plan]'", param_hint="--plot"
        )


def paths_of(place: str, names: Sequence[str], runtimes: Runtimes) -> dict[str, Path]:
    """Where the models called ``names`` lie in a folder of models. Raises `typer.BadParameter` for a missing one."""
    folder = place_of(place)
    if not isinstance(folder, Path):
        raise typer.BadParameter("models at a URL are not measured; copy them to this machine")
    paths = {}
    for model in Sources([folder], runtimes).find(may_be_empty=True):
        if model.versions:
            path = model.versions[0].path
            own = folder / model.name
            paths[model.name] = own if own.is_dir() and path.is_relative_to(own) else path
    if missing := [name for name in names if name not in paths]:
        there = ", ".join(sorted(paths)) or "none"
        raise typer.BadParameter(f"there is no model {missing[0]!r} in '{folder}'; there are: {there}")
    return {name: paths[name] for name in names}


def measure_all(paths: Mapping[str, Path], runtimes: Runtimes, tell: Callable[[str], None]) -> dict[str, Measured]:
    """Each model on one core, on all, and behind a server. Raises `LoadFailed` for one that cannot be measured."""
    cores = cores_here()
    found = {}
    for name, path in paths.items():
        tell(f"{name} on one core")
        one_core = measured(Job(path=str(path), cores=cores[:1]), Measurement)
        tell(f"{name} on {len(cores)} cores")
        all_cores = one_core
        if len(cores) > 1:
            all_cores = measured(Job(path=str(path), cores=cores), Measurement)
        tell(f"{name} over HTTP")
        request = _request_seconds(path, runtimes) - one_core.cpu
        found[name] = Measured(one_core, all_cores, max(request, 0.0))
    return found


def _request_seconds(path: Path, runtimes: Runtimes) -> float:
    """The processor time that a server takes for one request of one row, with the model's."""
    with loaded(path, runtimes, None, {}) as model:
        declared = model.signatures[model.signatures.resolve(None)]
        body = request_body(declared, warmup_inputs(path))
    with _server(path) as (address, process), closing(HTTPConnection(address, timeout=60)) as connection:
        url = f"/v2/models/{quote(path.stem if path.is_file() else path.name)}/infer"
        for _ in range(20):  # until the server knows how long the model takes
            _ask(connection, url, body)
        before, count, end = _cpu_seconds(process), 0, time.perf_counter() + 2
        while count < _REQUESTS and (not count or time.perf_counter() < end):
            _ask(connection, url, body)
            count += 1
        return (_cpu_seconds(process) - before) / count


def _ask(connection: HTTPConnection, url: str, body: bytes) -> None:
    connection.request("POST", url, body)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise LoadFailed(f"a server answers {answer.status} to its measured request", detail=text.decode())


def request_body(signature: Signature, samples: Mapping[str, object] | None) -> bytes:
    """A request of the Open Inference Protocol with one row, or with ``samples``."""
    arrays = signature.check_inputs(samples) if samples else random_inputs(signature, seed=0)
    shared = all(spec.sizes is not None and spec.sizes[:1] == (None,) for spec in signature.inputs.values())
    if shared and not samples:
        arrays = {name: array[:1] for name, array in arrays.items()}
    inputs = []
    for name, array in arrays.items():
        flat = array.ravel().tolist()
        data = [element.decode() if isinstance(element, bytes) else element for element in flat]
        inputs.append({"name": name, "shape": array.shape, "datatype": DATATYPES[array.dtype], "data": data})
    return msgspec.json.encode({"inputs": inputs})


@contextmanager
def _server(path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server of one model on a free port of this machine."""
    command = [sys.executable, "-m", "mlbuffet", "serve", str(path), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            text = "".join(_document(process.stdout))
            if not text:
                raise LoadFailed("the server in which it was to be measured ended", path=path)
            yield msgspec.json.decode(text)["address"].removeprefix("http://"), process
        finally:
            process.terminate()
            process.wait()


def _document(lines: Iterable[str]) -> Iterator[str]:
    """The lines of the first JSON document."""
    for line in lines:
        yield line
        if line == "}\n":
            return


def _cpu_seconds(process: subprocess.Popen[str]) -> float:
    """The processor time of a process so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""How fast the command line answers, how fast a server of one ONNX model is ready, and how much memory it holds."""

import argparse
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

import psutil
from rich.console import Console
from rich.table import Table

ROUNDS = 5
COMMAND = str(Path(sys.executable).with_name("mlbuffet"))


def main() -> None:
    """Measure, and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    as_json = parser.parse_args().json
    rows = {
        "python -c pass, seconds": median_seconds(sys.executable, "-c", "pass"),
        "mlbuffet --help, seconds": median_seconds(COMMAND, "--help"),
        "mlbuffet runtimes, seconds": median_seconds(COMMAND, "runtimes"),
        **server_figures(),
    }
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("what", f"median of {ROUNDS}", box=None, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(table)


def median_seconds(*command: str) -> float:
    """How long a command takes from start to end."""
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def server_figures() -> dict[str, float]:
    """Seconds until ``mlbuffet serve`` is ready, and its resident memory after a request."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "iris.onnx"
        train(path)
        runs = [one_server(path) for _ in range(ROUNDS)]
    ready, resident = zip(*runs, strict=True)
    return {"server ready, seconds": statistics.median(ready), "server resident, MB": statistics.median(resident)}


def train(path: Path) -> None:
    """Save an iris classifier at ``path``, in a process of its own."""
    code = (
        "import sys, numpy as np; from skl2onnx import to_onnx; from sklearn.datasets import load_iris;"
        "from sklearn.linear_model import LogisticRegression as L; d = load_iris(); x = d.data.astype(np.float32);"
        "m = to_onnx(L(max_iter=500).fit(x, d.target), x[:1], options={'zipmap': False});"
        "open(sys.argv[1], 'wb').write(m.SerializeToString())"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def one_server(path: Path) -> tuple[float, float]:
    """Start a server, wait until it is ready, predict once, and end it: seconds and megabytes."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    started = time.perf_counter()
    command = [COMMAND, "serve", str(path), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v2"
    while not answers(f"{url}/health/ready"):
        time.sleep(0.005)
    seconds = time.perf_counter() - started
    tensor = {"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}
    body = json.dumps({"inputs": [tensor]}).encode()
    urllib.request.urlopen(f"{url}/models/iris/infer", body).close()
    resident = psutil.Process(server.pid).memory_info().rss / 1e6
    server.send_signal(signal.SIGINT)
    server.wait()
    return seconds, resident


def answers(url: str) -> bool:
    """Whether ``url`` answers with 200."""
    try:
        with urllib.request.urlopen(url):
            return True
    except (URLError, ConnectionError):
        return False


if __name__ == "__main__":
    main()

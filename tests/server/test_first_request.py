"""What a server needs is imported before its first request, which would wait for it."""

import subprocess
import sys
from pathlib import Path

from faults import MODELS
from small_runtimes import write_models

PROGRAM = """
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

from fault_server import serve
from faults import FAULTS, V1, V2, X, exchange, post

good = {"v2": post(V2, json.dumps({"inputs": [X]}).encode()), "v1": post(V1, b'{"instances": [1, NaN]}')}


def ask(server, address):
    where = urlsplit(address)
    for name, data in (good | {name: data for name, (data, _) in FAULTS.items()}).items():
        known = set(sys.modules)
        exchange(where.hostname, where.port, data)
        for module in sorted(sys.modules.keys() - known):
            print(f"{name}: {module}")
    server.stop()


serve(Path(sys.argv[1]), ask)
"""


def test_no_request_imports_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(write_models(tmp_path, MODELS))]
    ended = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "")

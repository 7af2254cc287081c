"""What a server needs is imported before its first request, which would wait for it."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json
import sys
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from faults import FAULTS, LIMIT, V1, V2, X, exchange, post
from mlbuffet.repository import ModelRepository, find_versions
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.process import Server, address_of, listen
from small_runtimes import small_runtimes

runtimes = small_runtimes()
repository = ModelRepository(runtimes)
for stored in find_versions(Path(sys.argv[1]), runtimes):
    repository.add(stored)
good = {"v2": post(V2, json.dumps({"inputs": [X]}).encode()), "v1": post(V1, b'{"instances": [1, NaN]}')}
requests = good | {name: data for name, (data, _) in FAULTS.items()}


def ask() -> None:
    address = urlsplit(address_of(listener))
    for name, data in requests.items():
        known = set(sys.modules)
        exchange(address.hostname, address.port, data)
        for module in sorted(sys.modules.keys() - known):
            print(f"{name}: {module}", flush=True)
    server.stop()


with listen("127.0.0.1", 0) as listener:
    asking = Thread(target=ask)
    settings = ServerSettings(max_body=LIMIT, allow_changes=True)
    server = Server(create_app(repository, settings, on_loaded=asking.start), settings)
    server.run(sockets=[listener])
    asking.join()
"""


def test_no_request_imports_a_module(tmp_path: Path) -> None:
    for name, text in (("half.half", "half"), ("bad.half", "corrupt"), ("echo.echo", "float32 object int8 uint8 bool")):
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    ended = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "")

"""SIGTERM at any moment under load: whatever the server took is answered. `make campaign` does it 50 times."""

import json
import os
import random
import re
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from processes import environment_with_runtimes, read_until, serve

TIMES = 50 if os.environ.get("MLBUFFET_CAMPAIGN") else 2
CLIENTS = 16


@dataclass
class Clients:
    """Threads that ask until nobody takes their connections any more; each request has an id."""

    address: str
    answered: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)

    def ask(self, number: int) -> None:
        """Ask again and again; every other thread with a connection for each request."""
        chance = random.Random(number)
        headers = {"Connection": "close"} if number % 2 else {}
        with httpx.Client(base_url=self.address, headers=headers, timeout=20) as client:
            for count in range(1_000_000):
                name = f"{number}-{count}"
                seconds = chance.choice([0, 0, 0.01, 0.1])
                body = {"inputs": seconds}
                try:
                    answer = client.post("/v1/models/a:predict", json=body, headers={"X-Request-Id": name})
                except httpx.ConnectError:
                    return
                except httpx.TransportError:
                    self.failed.add(name)
                    continue
                assert (answer.status_code, answer.json()["outputs"]) == (200, pytest.approx(seconds))
                self.answered.add(name)


@pytest.mark.parametrize("number", range(TIMES))
def test_what_was_taken_is_answered(tmp_path: Path, number: int) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/model.sleep").touch()
    (tmp_path / "a/model.toml").write_text(f"[scheduling]\nmax_concurrency = {CLIENTS}")
    process = serve(environment_with_runtimes(tmp_path), tmp_path / "a", "--access-log", "--log-format", "json")
    clients = Clients(re.findall(r"http://127\.0\.0\.1:\d+", read_until(process, "serving on"))[0])
    threads = [threading.Thread(target=clients.ask, args=[number]) for number in range(CLIENTS)]
    lines: list[str] = []
    assert process.stderr
    reading = threading.Thread(target=lines.extend, args=[process.stderr])
    for thread in (reading, *threads):
        thread.start()
    time.sleep(random.Random(number).uniform(0.3, 0.6))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    for thread in (reading, *threads):
        thread.join()
    process.communicate()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    taken = {entry["request_id"]: entry["status"] for entry in entries if entry["logger"] == "mlbuffet.access"}
    assert set(taken.values()) == {200}
    assert taken.keys() == clients.answered
    assert len(clients.failed) <= CLIENTS  # sent while the server closed the connection, which it never saw

"""Clients that harm a model or the server: by crashes, hangs, more calls than it can take, and going away."""

import random
import socket
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count, cycle
from urllib.parse import urlsplit

import httpx

from faults import post
from grpc_calls import call, infer, typed
from mlbuffet.grpc.messages.open_inference import ModelInferResponse
from soak.client import TIMEOUT, Client

_NUMBERS = count()
_WAYS = cycle(("segfault", "abort", "exit", "grow 4000"))
_LIVES = 6
"""After so many crashes the model is loaded again, which lets its next process start without waiting."""


class Crashes(Client):
    """Ends the processes of a model by calls, and asks them whether they are well."""

    kind = "crashes, /v1"
    model = "crash"
    pause = 0.2
    crashed: Collection[object] = (500, 503)
    well: Collection[object] = (200, 503)

    def ask(self) -> None:
        for _ in range(_LIVES):
            self._note(self.tell(next(_WAYS), f"echo {next(_NUMBERS)}"), self.crashed)
        status, text, said = self.tell("echo well")
        self._note((status, text, said), self.well)
        if said is not None:
            self.check(said, ["well"])
        for change in ("unload", "load"):
            answer = self.http.post(f"/v2/repository/models/{self.model}/{change}")
            self._note((answer.status_code, answer.text, None), [200])

    def tell(self, *what: str) -> tuple[object, str, object]:
        """The status of a call that says so, what the server says of it, and the answer, if there is one."""
        answer = self.http.post(f"/v1/models/{self.model}:predict", json={"inputs": {"what": what}})
        return answer.status_code, answer.text, answer.json()["outputs"] if answer.is_success else None

    def _note(self, told: tuple[object, str, object], allowed: Collection[object]) -> None:
        self.tally.note(self.kind, told[0], allowed, told[1])


class CrashesGrpc(Crashes):
    """The same over gRPC, of another model."""

    kind = "crashes, gRPC"
    model = "crash-grpc"
    crashed = ("INTERNAL", "UNAVAILABLE")
    well = ("OK", "UNAVAILABLE")

    def tell(self, *what: str) -> tuple[object, str, object]:
        contents = {"bytes_contents": [one.encode() for one in what]}
        tensor = {"name": "what", "datatype": "BYTES", "shape": [len(what)], "contents": contents}
        code, details, body = call(self.grpc, infer(self.model, inputs=[tensor]), timeout=TIMEOUT)
        if not body:
            return code.name, details, None
        response = ModelInferResponse.FromString(body)
        said = response.outputs[0].contents.bytes_contents or [response.raw_output_contents[0][4:]]
        return code.name, details, [one.decode() for one in said]


class Hangs(Client):
    """Makes calls that do not end, of a model whose calls may take a second."""

    kind = "hangs"
    pause = 0.5

    def ask(self) -> None:
        body = {"inputs": {"what": ["hang 600", f"echo {next(_NUMBERS)}"]}}
        self.note(self.http.post("/v1/models/hang:predict", json=body), 504, 503)


class Overloads(Client):
    """Makes ten times as many calls as may wait."""

    kind = "overload"
    pause = 1.0
    calls = 30

    def ask(self) -> None:
        with ThreadPoolExecutor(self.calls) as threads:
            for answer in threads.map(lambda _: self._call(), range(self.calls)):
                if self.note(answer, 200, 503):
                    self.check(answer.json(), {"outputs": 0.05})
                else:
                    self.check("Retry-After" in answer.headers, expected=True)

    def _call(self) -> httpx.Response:
        return self.http.post("/v1/models/slow:predict", json={"inputs": {"x": 0.05}})


class GoesAway(Client):
    """Closes its connection within a request, or before the answer."""

    kind = "clients that went away"
    pause = 0.05

    def ask(self) -> None:
        whole = post("/v1/models/e:predict", b'{"signature_name":"float32","inputs":[' + b"1," * 50_000 + b"1]}")
        part = whole[: random.choice([20, 300, len(whole) // 2, len(whole)])]
        place = urlsplit(self.served.http)
        address = place.hostname or "", place.port or 0
        with suppress(ConnectionError), socket.create_connection(address, timeout=30) as connection:
            connection.sendall(part)
        self.tally.note(self.kind, "closed", ["closed"])


class GoesAwayGrpc(Client):
    """Cancels its calls."""

    kind = "cancelled, gRPC"
    pause = 0.1

    def ask(self) -> None:
        message = typed("slow", datatype="FP32", shape=[], contents={"fp32_contents": [0.05]})
        code, details, _ = call(self.grpc, message, timeout=random.choice([0.001, 0.01, 0.06]))
        self.tally.note(self.kind, code.name, ["DEADLINE_EXCEEDED", "OK", "UNAVAILABLE"], details)


HARMFUL = (Crashes, CrashesGrpc, Hangs, Overloads, GoesAway, GoesAwayGrpc)

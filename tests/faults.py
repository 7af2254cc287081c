"""Malformed requests as bytes, with the status that each gets: what no client library sends."""

import gzip
import json
import socket
from typing import Any

LIMIT = 2**20
MODELS = {"half.half": "half", "bad.half": "corrupt", "echo.echo": "float32 float64 object int8 uint8 bool"}
BOMB = gzip.compress(b" " * (LIMIT + 1), mtime=0)
V2, V1 = "/v2/models/half/infer", "/v1/models/half:predict"
LENGTH = "Inference-Header-Content-Length"
X = {"name": "x", "shape": [3], "datatype": "FP32", "data": [1, 2, 5]}
Headers = dict[str, Any]


def exchange(host: str, port: int, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to ``data``, sent as it is."""
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(data)
        with connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            lines = iter(answer.readline, b"\r\n")
            headers = dict(line.decode().lower().strip().split(": ", 1) for line in lines)
            return status, headers, answer.read(int(headers["content-length"]))


def post(path: str, body: bytes, headers: Headers | None = None, method: str = "POST") -> bytes:
    lines = {"Host": "localhost", "Content-Length": len(body), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def v2(*inputs: dict[str, Any], signature: str | None = None, **members: Any) -> bytes:
    """A request under /v2, to ``echo`` where it names a signature."""
    if signature is not None:
        members["parameters"] = {"signature_name": signature}
    body = json.dumps({"inputs": inputs, **members}).encode()
    return post(V2 if signature is None else "/v2/models/echo/infer", body)


def x(**changes: Any) -> bytes:
    return v2({**X, **changes})


def v1(body: Any) -> bytes:
    return post(V1, json.dumps(body).encode())


def raw(length: Any, buffer: bytes, signature: str = "float32", **changes: Any) -> bytes:
    """A request with a raw buffer; ``length`` is what its header claims, or is added to the truth."""
    tensor = {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}, **changes}
    header = json.dumps({"inputs": [tensor], "parameters": {"signature_name": signature}}).encode()
    claimed = len(header) + length if isinstance(length, int) else length
    return post("/v2/models/echo/infer", header + buffer, {LENGTH: claimed})


def chunked(*chunks: bytes) -> bytes:
    head = post(V2, b"", {"Content-Length": None, "Transfer-Encoding": "chunked"})
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


FRAMING = {
    "an empty body": (post(V2, b""), 400),
    "not JSON": (post(V2, b"inputs"), 400),
    "a top-level list": (post(V2, b"[]"), 400),
    "a top-level null": (post(V2, b"null"), 400),
    "250 000 nested brackets": (post(V2, b'{"inputs":[],"a":' + b"[" * 250_000 + b"]" * 250_000 + b"}"), 400),
    "250 000 nested brackets as data": (post(V2, x()[x().index(b"{") :][:-5] + b"[" * 250_000), 400),
    "250 000 nested brackets under v1": (post(V1, b'{"instances":' + b"[" * 250_000 + b"1" + b"]" * 250_000), 400),
    "250 000 nested brackets with a NaN": (post(V1, b'{"instances":' + b"[" * 250_000 + b"NaN"), 400),
    "250 000 nested brackets for the index": (post("/v2/repository/index", b'{"ready":' + b"[" * 250_000), 400),
    "invalid UTF-8": (post(V2, b'{"inputs":[{"name":"\xff"}]}'), 400),
    "invalid UTF-8 in a member that is not known": (post(V2, b'{"inputs":[],"\xff":1}'), 400),
    "invalid UTF-8 in a member that is not known, under v1": (post(V1, b'{"instances":[1],"\xff":{"a":1}}'), 400),
    "a control character in a member that is not known": (post(V1, b'{"instances":[1],"a":{"\n":1}}'), 400),
    "a lone surrogate": (post(V1, b'{"instances":["\\ud800"]}'), 400),
    "a byte order mark": (post(V2, b"\xef\xbb\xbf{}"), 400),
    "something after the JSON": (post(V2, b'{"inputs":[]} x'), 400),
    "a body over the cap with a length": (post(V2, b"", {"Content-Length": LIMIT + 1}), 413),
    "a body over the cap in chunks": (chunked(*[b" " * 65_536] * 17), 413),
    "gzip that grows past the cap": (post(V2, BOMB, {"Content-Encoding": "gzip"}), 413),
    "corrupt gzip": (post(V2, b"gzip", {"Content-Encoding": "gzip"}), 400),
    "an unknown encoding": (post(V2, b"{}", {"Content-Encoding": "br"}), 415),
    "a wrong method": (post(V2, b"", method="DELETE"), 405),
    "a method that there is not": (post(V2, b"", method="BREW"), 405),
    "a method in small letters": (post(V2, b"", method="post"), 405),
    "no version of HTTP": (b"GET /v2\r\n\r\n", 505),
    "HTTP/0.9": (b"GET /v2 HTTP/0.9\r\n\r\n", 505),
    "HTTP/2.0": (b"GET /v2 HTTP/2.0\r\n\r\n", 505),
    "HTTP/1.2": (b"GET /v2 HTTP/1.2\r\n\r\n", 400),
    "a length and chunks": (post(V2, b"{}", {"Transfer-Encoding": "chunked"}), 400),
    "two lengths": (b"POST /v2 HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    "a negative length": (post(V2, b"{}", {"Content-Length": -2}), 400),
    "a length of 30 digits": (post(V2, b"{}", {"Content-Length": "9" * 30}), 400),
    "a chunk of no size": (post(V2, b"zz\r\n", {"Content-Length": None, "Transfer-Encoding": "chunked"}), 400),
    "a bare line feed": (b"GET /v2 HTTP/1.1\nHost: x\n\n", 400),
    "a NUL in a header": (post(V2, b"{}", {"X": "a\0b"}), 400),
    "101 headers": (post(V2, b"{}", {f"x-{number}": "" for number in range(101)}), 431),
    "another protocol": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
}
FRAMING |= {
    "a 5 000-digit integer": (post(V1, b'{"instances":[' + b"7" * 5000 + b"]}"), 400),
    "a 5 000-digit integer with a NaN": (post(V1, b'{"instances":[NaN,' + b"7" * 5000 + b"]}"), 400),
}

TENSORS = {
    "a missing input": (v2(), 400),
    "an extra input": (v2(X, {**X, "name": "w"}), 400),
    "a repeated input": (v2(X, X), 400),
    "a repeated output": (v2(X, outputs=[{"name": "y"}, {"name": "y"}]), 400),
    "an unknown output": (v2(X, outputs=[{"name": "w"}]), 400),
    "an unknown datatype": (x(datatype="FP31"), 400),
    "a dtype other than the signature's": (x(datatype="FP64"), 400),
    "a wrong rank": (x(shape=[3, 1]), 400),
    "the shape [2, -1]": (x(shape=[2, -1]), 400),
    "the shape [1.0]": (x(shape=[1.0]), 400),
    "the shape ['2']": (x(shape=["2"]), 400),
    "the shape null": (x(shape=None), 400),
    "65 dimensions": (x(shape=[1] * 65), 400),
    "the shape [16, 2**60+2]": (x(shape=[16, 2**60 + 2]), 400),
    "the shape [0, 2**62]": (x(shape=[0, 2**62], data=[]), 400),
    "the shape [2**32, 2**32]": (x(shape=[2**32, 2**32], data=[]), 400),
    "too few elements": (x(data=[1, 2]), 400),
    "too many elements": (x(data=[1, 2, 3, 4]), 400),
    "ragged data": (x(data=[[1, 2], [3]]), 400),
    "text among floats": (x(data=[1, 2, "1.5"]), 400),
    "null among floats": (x(data=[1, 2, None]), 400),
    "true among floats": (x(data=[1, 2, True]), 400),
    "an object among floats": (x(data=[1, 2, {}]), 400),
    "1e40 as FP32": (x(data=[1, 2, 1e40]), 400),
    "1.5 among integers": (v2({**X, "datatype": "INT8", "data": [1, 2, 1.5]}, signature="int8"), 400),
    "300 as INT8": (v2({**X, "datatype": "INT8", "data": [1, 2, 300]}, signature="int8"), 400),
    "-1 as UINT8": (v2({**X, "datatype": "UINT8", "data": [1, 2, -1]}, signature="uint8"), 400),
    "2 as BOOL": (v2({**X, "datatype": "BOOL", "data": [True, False, 2]}, signature="bool"), 400),
    "rows that are none": (v1({"instances": []}), 400),
    "both instances and inputs": (v1({"instances": [1], "inputs": [1]}), 400),
    "base64 for a number": (v1({"instances": [{"b64": "_"}]}), 400),
    "bad base64": (post("/v1/models/echo:predict", b'{"signature_name":"object","inputs":[{"b64":"a_=="}]}'), 400),
    "long flat data for a short shape": (x(data=[1] * 300_000), 400),
    "long nested data for a short shape": (x(data=[[1, 2, 3]] * 80_000), 400),
    "long ragged data": (x(shape=[240_001], data=[[1, 2, 3]] * 80_000 + [1]), 400),
    "text at the end of long data": (x(shape=[300_001], data=[1] * 300_000 + ["2"]), 400),
    "null at the end of long data": (x(shape=[300_001], data=[1] * 300_000 + [None]), 400),
    "a name given twice": (x().replace(b'"shape"', b'"name" ', 1), 400),
    "the name of an output that is 100 000 long": (v2(X, outputs=[{"name": "n" * 100_000}]), 400),
    "a datatype that is 100 000 long": (x(datatype="n" * 100_000), 400),
}

BINARY_LIES = {
    "a header length larger than the body": (raw(9999, bytes(8)), 400),
    "a negative header length": (raw("-1", bytes(8)), 400),
    "the header length 1_0": (raw("1_0", bytes(8)), 400),
    "an empty header length": (raw("", bytes(8)), 400),
    "a header length of 30 digits": (raw("9" * 30, bytes(8)), 400),
    "two header lengths": (raw(0, bytes(8)).replace(b"\r\n\r\n", b"\r\n%b: 5\r\n\r\n" % LENGTH.encode(), 1), 400),
    "JSON cut in the middle": (raw(-9, bytes(8)), 400),
    "a buffer that is short": (raw(0, bytes(7)), 400),
    "a buffer that is left over": (raw(0, bytes(9)), 400),
    "a size that is not shape times item size": (raw(0, bytes(8), shape=[3]), 400),
    "both data and a size": (raw(0, bytes(8), data=[1, 2]), 400),
    "a BYTES prefix past the end": (raw(0, b"\xff" * 4 + bytes(4), "object", shape=[1], datatype="BYTES"), 400),
    "a BYTES shape of 2**40": (raw(0, bytes(8), "object", shape=[2**40], datatype="BYTES"), 400),
    "a BOOL of 2": (raw(0, b"\0\2" * 4, "bool", shape=[8], datatype="BOOL"), 400),
}

ADDRESSES = {
    f"{verb or 'metadata'} of {name[:12]!r}": (post(f"/v2/models/{name}{verb}", b"", method=method), status)
    for verb, method in (("", "GET"), ("/ready", "GET"), ("/config", "GET"), ("/stats", "GET"), ("/infer", "POST"))
    for name, status in (("..", 404), ("%2e%2e", 404), ("a%2fb", 404), ("a%00b", 404), ("n" * 256, 404))
} | {
    f"{change} of {name[:12]!r}": (post(f"/v2/repository/models/{name}/{change}", b""), 404)
    for change in ("load", "unload")
    for name in ("nope", "..", "%2e%2e", "a%2fb", "a%00b", "n" * 256)
}
ADDRESSES |= {
    "a slash at the end": (post(V2 + "/", b"{}", {"Host": "elsewhere.example"}), 404),
    "an unknown signature": (v2(X, parameters={"signature_name": "w"}), 400),
    "a model that failed": (post("/v2/models/bad/infer", b"{}"), 503),
    "a model that failed, under v1": (post("/v1/models/bad:predict", b"{}"), 503),
}
ADDRESSES |= {
    f"{verb or 'status'} of {name[:12]!r}, under v1": (post(f"/v1/models/{name}{verb}", b"{}", method=method), status)
    for verb, method in (("", "GET"), ("/metadata", "GET"), (":predict", "POST"), (":classify", "POST"))
    for name, status in (("nope", 404), ("..", 404), ("%2e%2e", 404), ("a%00b", 404), ("n" * 256, 404), ("a%2fb", 400))
} | {
    f"version {version} of a model": (post(f"/v2/models/half/versions/{version}", b"", method="GET"), 400)
    for version in ("-1", "1.0", "01", "1_0", "%D9%A1", "9" * 400)
}
FAULTS = FRAMING | TENSORS | BINARY_LIES | ADDRESSES

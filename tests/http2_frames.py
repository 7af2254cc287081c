"""Frames of HTTP/2 as bytes, for calls of gRPC that no client library sends (RFC 9113)."""

import re
import socket
import struct
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class Kind(IntEnum):
    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    WINDOW_UPDATE = 8
    CONTINUATION = 9


END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
USUAL = {":method": "POST", ":scheme": "http", ":authority": "a", "te": "trailers", "content-type": "application/grpc"}


def frame(kind: Kind, payload: bytes = b"", *, flags: int = 0, stream: int = 1, size: int | None = None) -> bytes:
    """One frame; ``size`` is what it claims to hold, where that is not so."""
    length = len(payload) if size is None else size
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


GREETING = PREFACE + frame(Kind.SETTINGS, stream=0)


def begin(path: str, fields: Mapping[str, str] = MappingProxyType({}), *, stream: int = 1) -> bytes:
    """The frame that begins a call, with more header ``fields``."""
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in {**USUAL, ":path": path, **fields}.items())
    return frame(Kind.HEADERS, block, flags=END_HEADERS, stream=stream)


def message(body: bytes, *, size: int | None = None, flag: int = 0) -> bytes:
    """A message of gRPC; ``size`` is what it claims to hold, where that is not so."""
    return struct.pack(">BI", flag, len(body) if size is None else size) + body


def data(content: bytes, *, ends: bool = True, stream: int = 1) -> bytes:
    """The frame with a message, by which the client ends its half of the call or not."""
    return frame(Kind.DATA, content, flags=END_STREAM if ends else 0, stream=stream)


def status_after(address: tuple[str, int], sent: bytes) -> int | None:
    """The status of the call that ``sent`` begins on a connection of its own; ``None`` where that is closed instead."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(sent)
        came = b""
        while not (found := re.search(rb"grpc-status[\1\2](\d{1,2})", came)):
            try:
                piece = connection.recv(65_536)
            except ConnectionResetError:
                return None
            if not piece:
                return None
            came += piece
        return int(found[1])


def _text(text: str) -> bytes:
    """Not compressed, and shorter than the 127 bytes for which its length is one byte."""
    assert len(text) < 127
    return bytes([len(text)]) + text.encode()

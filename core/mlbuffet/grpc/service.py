"""What a service offers: its methods, and what these know of a call."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import msgspec
from google.protobuf.message import DecodeError

from mlbuffet.errors import InvalidInput
from mlbuffet.inference import Deadline
from mlbuffet.telemetry.request_context import RequestContext

Message: TypeAlias = Any
"""An instance of a class of `mlbuffet.grpc.messages`."""


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """A message that was encoded without its class."""

    content: bytes

    def SerializeToString(self) -> bytes:  # noqa: N802  so it is called of messages
        """The message."""
        return self.content


Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
"""With names in lower case."""
CheckToken: TypeAlias = Callable[[Metadata], None]
"""Raises `NotAuthenticated` for a call whose metadata do not show the token that it needs."""


class Call(msgspec.Struct, frozen=True, gc=False):
    """One request of a client."""

    context: RequestContext
    """For logs and metrics."""
    metadata: Metadata
    peer: Callable[[], str]
    """Gives the address of the client, as gRPC writes it."""
    deadline: Deadline | None
    """That of the client; ``None`` where it set none."""
    size: int = 0
    """Of its message, in bytes."""


class Method(NamedTuple):
    """A method that answers one message with one."""

    read: Callable[[bytes], Message]
    """The message in what was sent. Raises `InvalidInput`."""
    answer: Callable[[Call, Message], Awaitable[Message]]
    """Raises `MLBuffetError`."""
    is_open: bool = False
    """Whether it takes no token, because it says of the server alone how it does."""


class StreamMethod(NamedTuple):
    """A method that answers each message of a stream with one, in the order in which the answers are there."""

    read: Callable[[bytes], Message]
    answer: Callable[[Call, Message], Awaitable[Message]]
    refusal: Callable[[bytes, str], Message]
    """The answer to what was sent where that led to an error, with the error's text."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of one protocol."""

    name: str
    """With its package."""
    protocol: str
    """The protocol's name in metrics."""
    methods: Mapping[str, Method | StreamMethod]
    not_offered: Mapping[str, str]
    """Methods that clients know, and why they are not here."""


def authorization(metadata: Metadata) -> list[str]:
    """What a call shows to say who sends it."""
    return [str(value) for name, value in metadata if name == "authorization"]


def reader(kind: type[Message]) -> Callable[[bytes], Message]:
    """What reads messages of one class, for a `Method`."""

    def read(body: bytes) -> Message:
        try:
            return kind.FromString(body)
        except (DecodeError, UnicodeDecodeError):  # the latter from protobuf's implementation in Python
            raise InvalidInput(f"what was sent is no {kind.DESCRIPTOR.full_name}") from None

    return read

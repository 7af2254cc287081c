"""The models that one in a process of its own calls: its server has them."""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock, get_ident
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.hookspecs import OtherModel
from mlbuffet.isolation import sent_errors, sent_signatures
from mlbuffet.isolation.channel import Channel
from mlbuffet.isolation.control import Control
from mlbuffet.isolation.messages import Head, Packer, Received, plain
from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.tensors import Signatures, Tensors
from mlbuffet.text_arrays import bytes_of_text


class ServerModels:
    """An `mlbuffet.hookspecs.OtherModels` for the load of the model in this process."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._server = _Server(control)
        self._thread: int | None = get_ident()

    def end_of_load(self) -> None:
        """Give no more models."""
        self._thread = None

    def __getitem__(self, name: str) -> OtherModel:
        if self._thread != get_ident():
            raise RuntimeError(f"the model {name!r} has to be asked for in load, in its thread; keep what you get")
        self._control.send("model", name)
        answer = self._control.receive()
        if answer is None:
            raise ConnectionResetError("the server has ended")
        kind, content = answer[0]
        if kind == "error":
            raise sent_errors.received(content)
        return ServerModel(name, self._server)


class _Server:
    """Calls of the server, from any thread."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._idle: list[Channel] = []
        self._signatures: dict[str, tuple[int, Signatures]] = {}
        self._lock = Lock()
        self._packer = Packer()

    def call(
        self, head: Head, tensors: Tensors | None = None, tail: bytes = b"", deadline: float | None = None
    ) -> Received:
        """The answer. Raises the error that the server answers."""
        channel = self._channel()
        with self._lock:
            message = self._packer.pack(head, tensors or {})
        channel.begin(message, tail, deadline)
        received = channel.finish()
        self._idle.append(channel)
        if received.head[0] == "error":
            raise sent_errors.received(received.head[1])
        return received

    def signatures(self, name: str, number: int, held: int | None = None) -> Signatures:
        """What a model takes and gives; one object as long as the server has one, which it calls ``number``."""
        with self._lock:
            known = self._signatures.get(name, (0, None))
        if known[0] == number and known[1] is not None:
            return known[1]
        found = sent_signatures.received(self.call(("signatures", name, held)).head[1])
        with self._lock:
            self._signatures[name] = number, found
        return found

    def _channel(self) -> Channel:
        try:
            return self._idle.pop()
        except IndexError:
            channel = Channel()
            self._control.send("channel", files=channel.files)
            return channel


class ServerModel:
    """An `mlbuffet.hookspecs.OtherModel` of the server."""

    def __init__(self, name: str, server: _Server) -> None:
        self.name = name
        self._server = server

    @property
    def signatures(self) -> Signatures:
        """See `mlbuffet.hookspecs.OtherModel`."""
        with self.held() as model:
            return model.signatures

    def held(self) -> "HeldServerModel":
        """See `mlbuffet.hookspecs.OtherModel`."""
        _, held, number = self._server.call(("hold", self.name)).head
        try:
            return HeldServerModel(self.name, self._server, held, self._server.signatures(self.name, number, held))
        except BaseException:
            self._server.call(("release", held))
            raise

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """See `mlbuffet.hookspecs.OtherModel`."""
        return _predict(self._server.call, self.name, None, inputs, signature, outputs, parameters, deadline)

    def __repr__(self) -> str:
        return f"<the model {self.name!r} of the server>"


class HeldServerModel:
    """An `mlbuffet.hookspecs.HeldModel` of the server."""

    def __init__(self, name: str, server: _Server, held: int, signatures: Signatures) -> None:
        self.name = name
        self.signatures = signatures
        self._server = server
        self._held: int | None = held

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """See `mlbuffet.hookspecs.HeldModel`."""
        return _predict(self._server.call, self.name, self._held, inputs, signature, outputs, parameters, deadline)

    def __enter__(self) -> "HeldServerModel":
        return self

    def __exit__(self, *_: object) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._server.call(("release", held))


def _predict(
    call: Callable[..., Received],
    name: str,
    held: int | None,
    inputs: Mapping[str, Any],
    signature: str | None,
    outputs: Sequence[str] | None,
    parameters: Mapping[str, Any] | None,
    deadline: float | None,
) -> dict[str, NDArray[Any]]:
    """Arrays go as tensors; lists and numbers go as they are, for the dtype that the model takes."""
    tensors = {one: _array(value, one) for one, value in inputs.items() if isinstance(value, np.ndarray | np.generic)}
    others = {one: value for one, value in inputs.items() if one not in tensors}
    head = "predict", name, held, signature, None if outputs is None else tuple(outputs)
    try:
        tail = plain([REQUEST_IDS.get(), dict(parameters or {}), others])
    except TypeError as error:
        raise InvalidInput(
            f"the model {name!r}: an input or parameter is neither an array nor a list: {error}"
        ) from error
    return call(head, tensors, tail, deadline).tensors


def _array(value: Any, name: str) -> NDArray[Any]:
    array = np.asarray(value)
    return bytes_of_text(array, name) if array.dtype.kind in "OUT" else array

"""The calls that a model in a process of its own makes of other models."""

import logging
from collections.abc import Mapping
from itertools import count
from threading import Lock, Thread
from typing import Any

import msgspec

from mlbuffet.isolation import sent_errors, sent_signatures
from mlbuffet.isolation.channel import Files, ServedChannel, error_message
from mlbuffet.isolation.messages import Packed, Packer, Received, pack_plain
from mlbuffet.load_context import HeldModel, OtherModel
from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.tensors import Signatures

logger = logging.getLogger(__name__)


class ModelCalls:
    """Answers those of one process, each channel in a thread of its own."""

    def __init__(self, models: Mapping[str, OtherModel]) -> None:
        self._models = models
        """Those that it asked for when it was loaded."""
        self._channels: list[ServedChannel] = []
        self._held: dict[int, HeldModel] = {}
        self._numbers = count(1)
        self._signatures: dict[str, tuple[int, Signatures]] = {}
        self._lock = Lock()

    def serve(self, files: Files) -> None:
        """Answer on another channel."""
        channel = ServedChannel(files)
        self._channels.append(channel)
        answers = _Answers(self)
        Thread(target=channel.serve, args=[answers], name="mlbuffet-model-calls", daemon=True).start()

    def close(self) -> None:
        """The process has ended: let go what it held."""
        for channel in self._channels:
            channel.close()
        for number in list(self._held):
            self.release(number)

    def hold(self, name: str) -> tuple[int, int]:
        """The numbers under which the default version of a model is held, and its signatures are known."""
        held = self._models[name].held().__enter__()
        with self._lock:
            number = next(self._numbers)
            self._held[number] = held
            known = self._signatures.get(name)
            if known is None or known[1] is not held.signatures:
                self._signatures[name] = known = next(self._numbers), held.signatures
        return number, known[0]

    def release(self, number: int) -> None:
        """Let go a version."""
        held = self._held.pop(number, None)
        if held is not None:
            held.__exit__(None, None, None)

    def model(self, name: str, number: int | None) -> OtherModel | HeldModel:
        """The model, or the version of it that is held."""
        return self._models[name] if number is None else self._held[number]


class _Answers:
    """Answers the requests of one channel."""

    def __init__(self, calls: ModelCalls) -> None:
        self._calls = calls
        self._packer = Packer()

    def __call__(self, received: Received) -> Packed:
        try:
            return self._answer(received)
        except BaseException as error:  # noqa: BLE001 whatever it is, the model gets it
            return error_message(sent_errors.sent(error))

    def _answer(self, received: Received) -> Packed:
        match received.head:
            case ("predict", name, held, signature, outputs):
                return self._packer.pack(("ok",), self._predict(received, name, held, signature, outputs))
            case ("hold", name):
                return pack_plain(["held", *self._calls.hold(name)])
            case ("release", number):
                self._calls.release(number)
                return pack_plain(["released"])
            case ("signatures", name, held):
                return pack_plain(["signatures", sent_signatures.sent(self._calls.model(name, held).signatures)])
            case other:
                raise ValueError(f"there is no such request: {other!r}")

    def _predict(self, received: Received, name: str, held: int | None, signature: Any, outputs: Any) -> Any:
        ids, parameters, others = msgspec.msgpack.decode(received.tail)
        REQUEST_IDS.set(ids)
        return self._calls.model(name, held).predict(
            {**received.tensors, **others},
            signature=signature,
            outputs=outputs,
            parameters=parameters,
            deadline=received.deadline,
        )

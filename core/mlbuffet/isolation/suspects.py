"""Inputs that ended the process of a model: those that end one after another are told from chance."""

from collections import OrderedDict
from hashlib import sha256
from threading import Lock

import numpy as np

from mlbuffet.tensors import Tensors

FATAL = 2
"""A call whose inputs have ended so many processes is refused."""
_MOST = 1024


class Suspects:
    """The digests of calls that ran when a process ended, and how many they ended for certain: while alone in it."""

    def __init__(self) -> None:
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def __bool__(self) -> bool:
        return bool(self._ended)

    def __contains__(self, digest: str) -> bool:
        return digest in self._ended

    def is_fatal(self, digest: str) -> bool:
        """Whether a call is to be refused."""
        return self._ended.get(digest, 0) >= FATAL

    def note_end(self, digest: str, *, alone: bool) -> bool:
        """A process ended while the call ran; whether it is to be refused from now on."""
        with self._lock:
            self._ended[digest] = self._ended.get(digest, 0) + alone
            self._ended.move_to_end(digest)
            if len(self._ended) > _MOST:
                self._ended.popitem(last=False)
            return self._ended[digest] >= FATAL

    def note_answer(self, digest: str) -> None:
        """The call was answered."""
        with self._lock:
            self._ended.pop(digest, None)


def digest_of(signature: str, inputs: Tensors) -> str:
    """The same for calls with equal inputs."""
    found = sha256(repr(signature).encode())
    for name in sorted(inputs):
        array = inputs[name]
        found.update(repr((name, str(array.dtype), array.shape)).encode())
        if array.dtype.kind == "O":
            for one in array.flat:
                found.update(b"%d:" % len(one))
                found.update(one)
        else:
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()

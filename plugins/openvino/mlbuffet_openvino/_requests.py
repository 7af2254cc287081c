"""The infer requests of a model, of which each computes one call at a time."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray


class Requests:
    """Requests of what ``compile_model`` gives; they are made as calls need them, and kept."""

    def __init__(self, compile_model: Callable[[], Any]) -> None:
        self._compile = compile_model
        self._lock = threading.Lock()
        # one attribute, so that calls never see the requests of one graph with another
        self._graph: tuple[Any, deque[Any]] = (compile_model(), deque())
        self._has_state = bool(self.compiled.create_infer_request().query_state())

    @property
    def compiled(self) -> Any:
        """What ``compile_model`` gave last."""
        return self._graph[0]

    def infer(self, tensors: Sequence[Any]) -> tuple[NDArray[Any], ...]:
        """The outputs for ``tensors``, in the order of the ports. Raises `RuntimeError` as OpenVINO does."""
        compiled, free = self._graph
        try:
            request = free.pop()
        except IndexError:
            request = compiled.create_infer_request()
        try:
            for number, tensor in enumerate(tensors):
                request.set_input_tensor(number, tensor)
            if self._has_state:  # of another call
                request.reset_state()
            values: tuple[NDArray[Any], ...] = request.infer(share_outputs=False, decode_strings=False).to_tuple()
        except RuntimeError:
            self._renew(compiled)
            raise
        free.append(request)
        return values

    def _renew(self, failed: Any) -> None:
        """Compile the model again: what a failed call leaves in OpenVINO's graph lets later ones fail."""
        with self._lock:
            if self.compiled is failed:
                self._graph = (self._compile(), deque())

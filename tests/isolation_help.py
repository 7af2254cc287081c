"""What the tests of models in processes of their own call."""

from collections.abc import Callable

import mlbuffet

Serve = Callable[..., mlbuffet.Repository]


def tell(repository: mlbuffet.Repository, what: str, model: str = "bad", timeout: float | None = 60) -> str:
    """What the model says to that."""
    said = repository.predict(model, {"what": [what]}, timeout=timeout)["said"][0]
    return bytes(said).decode()

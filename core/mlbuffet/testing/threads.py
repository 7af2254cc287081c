"""Work that several threads do at once."""

import sys
import threading
import time
from collections.abc import Callable

_THREADS = 8


def in_threads(work: Callable[[int], None], patience: float) -> list[str]:
    """The failures of eight threads that do ``work``, switched far more often than usual."""
    start, failures = threading.Barrier(_THREADS), list[str]()

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 a thread's exception would be lost
            failures.append(str(error) or repr(error))

    interval, deadline = sys.getswitchinterval(), time.monotonic() + patience
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    finally:
        sys.setswitchinterval(interval)
    return ["they block each other"] if any(thread.is_alive() for thread in threads) else failures

"""Whether code that clients send is run."""

import os

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import LoadContext

UPLOADS = "MLBUFFET_PYTHON_UPLOADS"


def uploads_may_run() -> bool:
    """Whether whoever started the server allows it."""
    return os.environ.get(UPLOADS) == "1"


def check_may_run(context: LoadContext) -> None:
    """Raises `LoadFailed` for what a client sent, unless whoever started the server allows it."""
    if context.is_upload and not uploads_may_run():
        raise LoadFailed(
            "it is Python code that came with an upload, which this server does not run; whoever starts the server "
            f"can allow that with {UPLOADS}=1 in its environment"
        )

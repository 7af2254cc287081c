"""Whether code that clients send is run."""

import os

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import LoadContext

UPLOADS = "MLBUFFET_PYTHON_UPLOADS"


def check_may_run(context: LoadContext) -> None:
    """Raises `LoadFailed` for what a client sent, unless whoever started the server allows it."""
    if context.is_upload and os.environ.get(UPLOADS) != "1":
        raise LoadFailed(
            "it is Python code that came with an upload, which this server does not run; whoever starts the server "
            f"can allow that with {UPLOADS}=1 in its environment"
        )

"""The refusal of a token over HTTP."""

from starlette.exceptions import HTTPException

from mlbuffet.errors import NotAuthenticated
from mlbuffet.server.bearer import MALFORMED


def as_http(error: NotAuthenticated) -> HTTPException:
    """401, or 400 for several headers; responses are those of RFC 6750 (3.1), which clients read in
    ``WWW-Authenticate``.
    """
    status = 400 if error.code == MALFORMED else 401
    challenge = f'Bearer error="{error.code}"' if error.code else "Bearer"
    return HTTPException(status, str(error), {"www-authenticate": challenge})

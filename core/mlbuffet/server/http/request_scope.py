"""The context of a request over HTTP, in its scope."""

from starlette.types import Scope

from mlbuffet.server.http.route_path import route_path
from mlbuffet.telemetry.request_context import RequestContext, begin

CONTEXT = "mlbuffet.context"
"""The key of a `RequestContext` in the scope of its request."""


def begin_request(scope: Scope) -> RequestContext:
    """The context of the request that this task handles, which its ``scope`` gets.

    The protocol is "other" where the path belongs to none, such as that of the documentation.
    """
    root = route_path(scope)[1:].partition("/")[0].lower()
    context = begin(root if root in ("v2", "v1", "api") else "other", scope["headers"])
    scope[CONTEXT] = context
    return context

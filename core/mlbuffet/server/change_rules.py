"""Who may change what is served, over HTTP and gRPC."""

import re
from collections.abc import Callable, Iterable, Sequence

from mlbuffet.errors import NotPermitted
from mlbuffet.server.bearer import check_bearer
from mlbuffet.server.settings import ServerSettings
from mlbuffet.token_file import value_of

_FORWARDING = re.compile(
    rb"forwarded(-for)?|x-forwarded(-.+)?|x-original-(forwarded-for|host|url|to)|x-rewrite-url|via|cdn-loop|cf-.+"
    rb"|x-(real|remote)-ip|x-remote-addr|x-envoy-.+|x-azure-(clientip|socketip|fdid|ref)|x-appengine-.+"
    rb"|(.+-)?client-?ip"  # X-Client-IP, True-Client-IP, Fastly-Client-IP and their like
)


def check_changeable(settings: ServerSettings) -> None:
    """Raise `NotPermitted` where no client may change what is served.

    One of several processes would change only itself, and the next request may reach another.
    """
    if settings.read_only:
        raise NotPermitted("this server is read-only (--read-only): clients change nothing that it serves")
    if settings.workers > 1:
        raise NotPermitted(
            f"this server has {settings.workers} processes, and a request reaches one: change its folder (--watch)"
        )


def check_caller(
    settings: ServerSettings, authorization: Sequence[str], why_not_local: Callable[[], str | None]
) -> None:
    """Raise `NotAuthenticated` or `NotPermitted` where who sent a request may change nothing.

    ``why_not_local`` is why it may have been sent on another machine, though it came over loopback.
    """
    if settings.admin_token is not None:
        check_bearer(authorization, [value_of(settings.admin_token)], "changes", "the admin token")
    elif not settings.allow_changes:
        raise NotPermitted(
            "this server does not let clients change what is served: create_app was given neither admin_token= nor "
            "allow_changes=True, or 'mlbuffet serve' listens on more than this machine (or on a Unix socket), and was "
            "started without --admin-token-file"
        )
    elif reason := why_not_local():
        raise NotPermitted(
            f"without a token, only programs on this machine may change what is served, and this request may be "
            f"another's: {reason}; start the server with --admin-token-file (admin_token= of create_app), "
            "and send the token"
        )


def why_forwarded(names: Iterable[bytes]) -> str | None:
    """The sign of a proxy among the names of a request's headers, which are in lower case; ``None`` without one."""
    for name in names:
        if _FORWARDING.fullmatch(name):
            return f"it came through a proxy, which its header {name.decode('latin-1').title()} says"
    return None

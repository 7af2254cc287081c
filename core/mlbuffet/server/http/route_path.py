"""The path of a request within this application, which may be mounted below a path of another."""

from starlette.types import Scope


def route_path(scope: Scope) -> str:
    """The path without the ``root_path`` that the ASGI server or a parent application has set, if it begins with that.

    By ASGI the path holds the root path; some servers and frameworks leave it out.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    return path[len(root) :] if root and path.startswith(f"{root}/") else path

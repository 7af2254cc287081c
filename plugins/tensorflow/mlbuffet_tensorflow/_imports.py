"""Python modules that bring operations, imported before a model is loaded that needs them."""

from collections.abc import Iterable
from importlib import import_module

from mlbuffet.errors import LoadFailed


def import_modules(names: Iterable[str]) -> None:
    """Import ``names``, which runs their code. Raises `LoadFailed`."""
    for name in names:
        try:
            import_module(name)
        except (Exception, SystemExit) as error:  # a module of the user may raise anything
            raise _failed(name, error) from error


def _failed(name: str, error: BaseException) -> LoadFailed:
    package = name.partition(".")[0]
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    subject = f"the option imports names the module {name!r}"
    if missing == package:
        install = f"pip install {package.replace('_', '-')}"
        return LoadFailed(f"{subject}, which is not installed here; install its package, most likely with: {install}")
    if missing is not None and f"{name}.".startswith(f"{missing}."):
        return LoadFailed(f"{subject}, which the package {package!r} that is installed here does not have")
    return LoadFailed(f"{subject}, which fails when it is imported", detail=f"{type(error).__name__}: {error}")

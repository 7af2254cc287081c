"""The modules of one folder, which those of no other folder meet."""

import builtins
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4


class Modules(MetaPathFinder, SourceLoader):  # type: ignore[misc]  # typeshed: its own bases differ
    """Imports the ``*.py`` of ``folder`` as they are now, below a package that is theirs alone.

    They import each other by their plain names, which go before those of installed packages, as in a script's folder.
    No bytecode is written beside them, and none read: the source is what counts.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._package = re.sub(r"\W", "_", f"{name}_{uuid4().hex}")
        self._files = {_module_name(file.relative_to(folder)): file for file in _sources(folder)}
        self._content = {str(file): file.read_bytes() for file in self._files.values()}
        self._top_names = {name.partition(".")[0] for name in self._files}

    def import_module(self, name: str) -> ModuleType:
        """The module of the folder called ``name``."""
        root = ModuleType(self._package)
        root.__path__ = []
        sys.modules[self._package] = root
        sys.meta_path.append(self)
        return import_module(f"{self._package}.{name}")

    def close(self) -> None:
        """Forget the modules."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name in [name for name in list(sys.modules) if f"{name}.".startswith(f"{self._package}.")]:
            del sys.modules[name]

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        name = fullname.removeprefix(f"{self._package}.")
        if name == fullname:
            return None
        file = self._files.get(name)
        is_folder = any(one.startswith(f"{name}.") for one in self._files)
        if file is None:
            return ModuleSpec(fullname, None, is_package=True) if is_folder else None
        spec = ModuleSpec(fullname, self, origin=str(file), is_package=file.name == "__init__.py")
        spec.has_location = True
        return spec

    def get_filename(self, fullname: str) -> str:
        """See `importlib.abc.ExecutionLoader`."""
        return str(self._files[fullname.removeprefix(f"{self._package}.")])

    def get_data(self, path: str) -> bytes:
        """See `importlib.abc.ResourceLoader`."""
        content = self._content.get(path)
        return Path(path).read_bytes() if content is None else content

    def exec_module(self, module: ModuleType) -> None:
        """Run the code, whose imports are ours: ``exec`` takes the builtins that it finds."""
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._import}
        super().exec_module(module)

    def _import(
        self,
        name: str,
        importing: Mapping[str, Any] | None = None,
        local: Mapping[str, Any] | None = None,
        names: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or top not in self._top_names:
            return builtins.__import__(name, importing, local, names or (), level)
        found = builtins.__import__(f"{self._package}.{name}", importing, local, names or (), 0)
        module: ModuleType = found if names else getattr(found, top)
        return module


def _sources(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    return [
        file
        for file in found
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]


def _module_name(file: Path) -> str:
    parts = file.parent.parts if file.name == "__init__.py" else file.with_suffix("").parts
    return ".".join(parts)

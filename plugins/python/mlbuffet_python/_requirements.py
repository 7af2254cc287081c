"""The packages that a model needs, by its requirements.txt."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from mlbuffet.errors import LoadFailed

FILE = "requirements.txt"


def check_requirements(folder: Path) -> None:
    """Raises `LoadFailed`, which names all that is missing or has another version."""
    file = folder / FILE
    missing = [problem for one in _requirements(file) if (problem := _problem(one))] if file.is_file() else []
    if missing:
        raise LoadFailed(f"{FILE}: {'; '.join(missing)}. Install it where MLBuffet runs")


def _requirements(file: Path) -> Iterator[Requirement]:
    for number, line in enumerate(file.read_text(encoding="utf-8").replace("\\\n", " ").splitlines(), 1):
        text = re.split(r"(?:^|\s)#|\s--", line, maxsplit=1)[0].strip()
        if text and not text.startswith("-"):  # options are for pip
            try:
                yield Requirement(text)
            except InvalidRequirement:
                reason = f"{FILE}, line {number}: it names no package; write 'name', 'name>=1.2' or 'name @ URL'"
                raise LoadFailed(reason, detail=text) from None  # URLs may hold passwords, and paths are no client's


def _problem(requirement: Requirement) -> str | None:
    if requirement.marker and not requirement.marker.evaluate():
        return None
    wanted = f"{requirement.name}{requirement.specifier}"
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{wanted} is not installed"
    fits = requirement.specifier.contains(found, prereleases=True)
    return None if fits else f"{wanted} is needed, and {found} is installed"

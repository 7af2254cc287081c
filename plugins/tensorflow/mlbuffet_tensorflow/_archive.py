"""A zip file, unpacked after a check of every entry."""

from pathlib import Path, PurePosixPath

from mlbuffet.archives import Budget, checked, opened, pieces
from mlbuffet.errors import LoadFailed
from mlbuffet_tensorflow._artifact import models_in

MAX_BYTES = 32 * 2**30
MAX_ENTRIES = 100_000


def budget_of(path: Path, *, max_bytes: int = MAX_BYTES) -> Budget:
    """What may be unpacked of the artifact at ``path``."""
    return Budget(path.stat().st_size if path.is_file() else 0, max_bytes)


def unpack(path: Path, folder: Path, budget: Budget) -> Path:
    """Unpack the zip at ``path`` into ``folder``; the model that it holds. Raises `LoadFailed`."""
    with opened(path) as archive:
        files = [entry for entry in checked(archive, budget, MAX_ENTRIES) if not entry.is_dir()]
        for entry in files:
            target = folder / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as written:
                written.writelines(pieces(archive, entry))
    return folder / _model([entry.filename for entry in files])


def _model(names: list[str]) -> PurePosixPath:
    match models_in(names):
        case [model]:
            return model
        case []:
            raise LoadFailed("the zip holds no model: no saved_model.pb, .keras or .h5 file")
        case several:
            raise LoadFailed(f"the zip holds several models ({', '.join(map(str, several))}); pack each by itself")

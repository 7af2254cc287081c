"""The TensorFlow runtime, as MLBuffet sees it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import hookimpl
from mlbuffet.tensors import Signatures, Tensors

if TYPE_CHECKING:
    from mlbuffet_tensorflow._session import SessionModel

_BINARY_STARTS = (b"\x08", b"\x12")  # the tags of a SavedModel message's two fields: schema version, meta graphs
_TEXT_STARTS = (b"saved_model_schema_version", b"meta_graphs", b"#")


class TensorFlowRuntime:
    """TensorFlow SavedModels, of TensorFlow 1 and 2 and of Keras."""

    platform = "tensorflow_savedmodel"
    takes_any_shape = True

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A SavedModel: a folder with saved_model.pb (or saved_model.pbtxt)"""
        try:
            return _starts(path / "saved_model.pb", _BINARY_STARTS) or _starts(path / "saved_model.pbtxt", _TEXT_STARTS)
        except (OSError, ValueError):  # not a folder, no file, no permission; a NUL in the name
            return False

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> "SessionModel":
        """Bring every signature of the SavedModel at ``path`` into a session."""
        from mlbuffet_tensorflow._options import parse_options

        parsed = parse_options(options)
        try:
            from mlbuffet_tensorflow._loading import load_saved_model
        except ImportError as error:
            raise LoadFailed(
                "TensorFlow cannot be imported here; install it with: pip install 'mlbuffet[tensorflow]'",
                detail=str(error),
            ) from error
        return load_saved_model(path, parsed)

    @hookimpl
    def signature(self, model: "SessionModel") -> Signatures:
        """Every signature of the file but TensorFlow's own ``__saved_model_init_op``."""
        return model.signatures

    @hookimpl
    def predict(self, model: "SessionModel", signature: str, inputs: Tensors) -> Tensors:
        """Run one signature in the calling thread, without the GIL."""
        return model.predict(signature, inputs)

    @hookimpl
    def unload(self, model: "SessionModel") -> None:
        """Close the session, which holds the weights, the tables and the thread pool."""
        model.close()


def _starts(file: Path, starts: tuple[bytes, ...]) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(64).lstrip(b" \t\r\n" if starts is _TEXT_STARTS else b"").startswith(starts)

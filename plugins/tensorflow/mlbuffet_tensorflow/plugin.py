"""The TensorFlow runtime, as MLBuffet sees it."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import HandleHooks, Risk, hookimpl
from mlbuffet.tensors import Tensors
from mlbuffet_tensorflow._artifact import kind_of, kind_to_load
from mlbuffet_tensorflow._importing import importing_tensorflow
from mlbuffet_tensorflow._options import Options
from mlbuffet_tensorflow._unservable import unservable

if TYPE_CHECKING:
    from mlbuffet_tensorflow._session import SessionModel


class TensorFlowRuntime(HandleHooks):
    """Models of TensorFlow 1 and 2 and of Keras."""

    platform = "tensorflow_savedmodel"
    concurrent_loads = True
    options = Options
    threads_option = "intra_op_threads"
    client_options = frozenset({"signature", "tags", "inter_op_threads", "xla"})
    takes_any_shape = True
    output_shapes_may_differ = True  # what a graph says of them may come of set_shape, which nothing checks

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A SavedModel (a folder with saved_model.pb or .pbtxt), a .keras or .h5 file, or a .zip of one of these"""
        return (kind := kind_of(path)) is not None and unservable(kind) is None

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """What else TensorFlow writes and nobody can call, such as a checkpoint or a TFLite file, and damaged files."""
        kind = kind_of(path)
        return None if kind is None else unservable(kind)

    @hookimpl
    def load(self, path: Path, options: Options) -> "SessionModel":
        """Bring every signature of the model at ``path`` into a session."""
        if reason := unservable(kind_to_load(path)):
            raise LoadFailed(reason)
        with importing_tensorflow():
            from mlbuffet_tensorflow._loading import load_artifact
        return load_artifact(path, options)

    @hookimpl
    def risks(self, path: Path) -> list[Risk]:
        """Operations that call code, or reach files or other machines; what Keras would import or run."""
        with importing_tensorflow():
            from mlbuffet_tensorflow._risks import risks_of
        return risks_of(path)

    @hookimpl
    def predict(self, model: "SessionModel", signature: str, inputs: Tensors) -> Tensors:
        """Run one signature in the calling thread, without the GIL."""
        return model.predict(signature, inputs)

"""SavedModels and models of Keras as ONNX."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import keras
import tensorflow as tf
from tf2onnx.convert import from_function

from mlbuffet.converting import Source
from mlbuffet.errors import ConversionFailed
from mlbuffet_convert._graph import fitted


def convert(source: Source) -> bytes:
    """The signature of the SavedModel or the Keras model."""
    path = source.path
    if path.is_dir():
        return _converted(path, source.options.get("tags"), source)
    if path.suffix.lower() not in (".keras", ".h5", ".hdf5"):
        raise ConversionFailed("it is a zip; unpack it, and convert what is in it")
    with TemporaryDirectory() as folder:
        keras.models.load_model(path, compile=False).export(folder, verbose=False)
        return _converted(Path(folder), None, source)


def _converted(folder: Path, tags: Any, source: Source) -> bytes:
    try:
        loaded = tf.saved_model.load(str(folder), tags=tags)
    except ValueError:  # of several graphs one must be named
        loaded = tf.saved_model.load(str(folder), tags=["serve"])
    function = loaded.signatures[source.name] if source.name in loaded.signatures else _traced(loaded, source.name)
    traced = SimpleNamespace(get_concrete_function=lambda *_: function)
    model, _ = from_function(traced, input_signature=(), opset=source.opset)
    return fitted(model, source)


def _traced(loaded: Any, name: str) -> Any:
    """The only trace of a function that is no signature."""
    traces = getattr(getattr(loaded, name, None), "concrete_functions", [])
    if len(traces) != 1:
        raise ConversionFailed(f"its function {name!r} was traced {len(traces)} times; save it as a signature")
    return traces[0]

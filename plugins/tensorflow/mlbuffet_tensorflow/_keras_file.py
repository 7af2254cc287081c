"""A file of Keras as a function, at inference, with the names that the model gives its inputs and outputs."""

import gc
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from mlbuffet.errors import LoadFailed
from mlbuffet_tensorflow._tensorflow import tf
from mlbuffet_tensorflow._written import Function, Save, leaves, named_leaves, unique

_EXPORT = (
    "in the program that made it: `model = keras.saving.load_model(file{0})`; `model.export(path)`; serve that folder"
)
_CUSTOM = r"Could not locate (?:class|function) '([^']+)'|Unknown (?:layer|object|\w+ function): '?(\w+)"


def load_keras(path: Path) -> Any:
    """The Keras model of a .keras or .h5 file. Raises `LoadFailed`."""
    keras = _keras_on_tensorflow()
    if names := sorted(set(lambda_layers(configuration(path)))):
        raise LoadFailed(
            f"its Lambda layers ({', '.join(names)}) hold Python code, which is not run from a file; export it "
            + _EXPORT.format(", safe_mode=False")
        )
    try:
        return keras.saving.load_model(path, safe_mode=True, compile=False)
    except Exception as error:  # reading the configuration may raise anything
        raise _not_loaded(error) from error


def _keras_on_tensorflow() -> Any:
    mend = (
        "set the environment variable KERAS_BACKEND=tensorflow, or export the model with model.export(path) and serve "
        "that folder"
    )
    try:
        import keras
    except ImportError as error:  # of the framework that it is set to run on
        reason = f"Keras cannot be imported with the backend that it is set to; {mend}"
        raise LoadFailed(reason, detail=str(error)) from error
    if keras.backend.backend() != "tensorflow":
        raise LoadFailed(f"Keras runs on {keras.backend.backend()} in this process; {mend}")
    return keras


def keras_function(model: Any) -> Function:
    """The call of the model as it is at inference: no dropout, no random augmentation."""
    structure, inputs = _inputs(model)
    return Function(partial(_call, model, structure), inputs, partial(_name_outputs, model))


def save_keras(model: Any, folder: Path) -> Save:
    """Saving signatures with what the layers of ``model`` hold: variables, tables, files."""
    from keras.export import ExportArchive

    def save(signatures: Mapping[str, Any]) -> None:
        archive = ExportArchive()
        archive.track(model)
        for name, function in signatures.items():
            archive.add_endpoint(name, function)
        archive.write_out(str(folder), verbose=False)
        del archive
        gc.collect()

    return save


def configuration(path: Path) -> Any:
    """The configuration of the model in the file; `LoadFailed` where there are only weights."""
    try:
        with ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    except BadZipFile:
        return _config_in_hdf5(path)
    except (KeyError, ValueError) as error:
        raise _damaged(error) from error


def _config_in_hdf5(path: Path) -> Any:
    import h5py

    try:
        with h5py.File(path) as file:
            config = file.attrs.get("model_config")
    except OSError as error:
        raise _damaged(error) from error
    if config is None:
        raise LoadFailed(
            "the file holds weights alone, without the layers that use them; build the model as the program "
            "that trained it does, and save all of it: `model = build_model()`; "
            "`model.load_weights(file)`; `model.export(path)`"
        )
    return json.loads(config)


def _damaged(error: Exception) -> LoadFailed:
    return LoadFailed("the Keras file is damaged or cut short; copy or save the model again", detail=str(error))


def lambda_layers(config: Any) -> Iterator[str]:
    """The names of the Lambda layers anywhere in a configuration."""
    if isinstance(config, Mapping):
        if config.get("class_name") == "Lambda":
            yield str((config.get("config") or {}).get("name"))
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from lambda_layers(value)


def _not_loaded(error: Exception) -> LoadFailed:
    detail = f"{type(error).__name__}: {error}"
    if found := re.search(_CUSTOM, str(error)):
        name = next(filter(None, found.groups()))
        more = f', custom_objects={{"{name}": {name}}}'
        return LoadFailed(
            f"it needs {name!r}, a custom object of the program that made it, and no Python is run from a file; export "
            "it " + _EXPORT.format(more),
            detail=detail,
        )
    return LoadFailed(
        "Keras cannot load it; if it is undamaged, export it with the Keras that wrote it, " + _EXPORT.format(""),
        detail=detail,
    )


def _inputs(model: Any) -> tuple[Any, list[tuple[str, Any]]]:
    """The nest of tensors that the model takes, and their names and specs."""
    structure = _nest(model, "input")
    if structure is None:
        return _built(model)
    tensors = [tensor for _, tensor in leaves(structure)]
    names = unique(tensor._keras_history.operation.name for tensor in tensors)
    return structure, [(name, _spec(model, tensor)) for name, tensor in zip(names, tensors, strict=True)]


def _nest(model: Any, side: str) -> Any:
    """The nest of the model's symbolic inputs or outputs; None for a subclass of keras.Model, which has none."""
    symbolic: Any = getattr(model, f"{side}s", None)  # a Sequential has the list alone
    try:
        return getattr(model, side) if symbolic else None
    except (AttributeError, ValueError):
        return symbolic[0] if len(symbolic) == 1 else symbolic


def _built(model: Any) -> tuple[Any, list[tuple[str, Any]]]:
    shapes = (model.get_build_config() or {}).get("input_shape")
    if not model.built or shapes is None:
        raise LoadFailed(
            "the model was saved before it was ever called, so that its inputs are not known; call it once with real "
            "inputs, and save it with `model.export(path)`"
        )
    structure = _specs(shapes, model.input_dtype)
    named = leaves(structure) if isinstance(structure, Mapping) else [("inputs", spec) for _, spec in leaves(structure)]
    return structure, [(name, spec) for name, spec in named]


def _specs(shapes: Any, dtype: str) -> Any:
    """The nest of shapes that a model was built with as one of specs; the number of rows is free."""
    if isinstance(shapes, Mapping):
        return {key: _specs(shape, dtype) for key, shape in shapes.items()}
    if all(size is None or isinstance(size, int) for size in shapes):
        return tf.TensorSpec([None, *shapes[1:]], dtype)
    return [_specs(shape, dtype) for shape in shapes]


def _spec(model: Any, tensor: Any) -> Any:
    if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False):
        raise LoadFailed(f"its input {tensor.name!r} is sparse or ragged; export it with a function of dense tensors")
    shape = tensor.shape
    if "build_input_shape" in model.get_config() and not any(
        getattr(layer, "stateful", False) for layer in model.layers
    ):
        shape = [None, *shape[1:]]  # a Sequential that was built by a call: of how many rows, is an accident
    return tf.TensorSpec(shape, tensor.dtype)


def _call(model: Any, structure: Any, *tensors: Any) -> Any:
    return model(_packed(structure, iter(tensors)), training=False)


def _packed(structure: Any, tensors: Iterator[Any]) -> Any:
    """``structure`` with ``tensors`` in it, in the order of `leaves`."""
    if isinstance(structure, Mapping):
        return {key: _packed(value, tensors) for key, value in sorted(structure.items())}
    if isinstance(structure, list | tuple):
        return [_packed(value, tensors) for value in structure]
    return next(tensors)


def _name_outputs(model: Any, result: Any) -> Iterable[tuple[str, Any]]:
    """A dict's keys; else the names of the layers that computed the outputs, where the model knows them."""
    structure = _nest(model, "output")
    if structure is None:
        return named_leaves(result)
    if isinstance(structure, Mapping):
        return leaves(result)
    names = [tensor._keras_history.operation.name for _, tensor in leaves(structure)]
    return [(name, tensor) for name, (_, tensor) in zip(names, leaves(result), strict=True)]

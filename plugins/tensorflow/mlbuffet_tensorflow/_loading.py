"""Loads any artifact into a session, by way of a SavedModel."""

import gc
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from mlbuffet.archives import Budget
from mlbuffet.errors import InvalidOptions, LoadFailed
from mlbuffet.tensors import DEFAULT_SIGNATURE
from mlbuffet_tensorflow._archive import budget_of, unpack
from mlbuffet_tensorflow._artifact import Kind, kind_to_load
from mlbuffet_tensorflow._functions import families_of, functions_of, traces
from mlbuffet_tensorflow._generated import without_generated_files
from mlbuffet_tensorflow._imports import import_modules
from mlbuffet_tensorflow._keras_file import keras_function, load_keras, save_keras
from mlbuffet_tensorflow._keras_sizes import safe_keras_file
from mlbuffet_tensorflow._opening import opened
from mlbuffet_tensorflow._options import Options
from mlbuffet_tensorflow._refusals import NotRestored, load_failed, not_loadable, nothing_to_serve
from mlbuffet_tensorflow._resolution import UNTRACED
from mlbuffet_tensorflow._saved_model import MetaGraph, read_meta_graph, tags_of
from mlbuffet_tensorflow._serving import served, served_functions, served_keras
from mlbuffet_tensorflow._session import SessionModel
from mlbuffet_tensorflow._signatures import Wired, report_left_out, signature_names, wired_to_copy
from mlbuffet_tensorflow._tensorflow import quiet, tf
from mlbuffet_tensorflow._written import save_module, write


def load_artifact(path: Path, options: Options) -> SessionModel:
    """The model at ``path``. Raises `LoadFailed`, or `InvalidOptions` for what the file does not have."""
    with quiet(), without_generated_files(), ExitStack() as files:
        import_modules(options.imports)
        model = _load(path, options, files, budget_of(path))
        if model.reads_files:
            model.files = files.pop_all()
    return model


def _load(path: Path, options: Options, files: ExitStack, budget: Budget) -> SessionModel:
    match kind_to_load(path):
        case Kind.SAVED_MODEL:
            return _load_saved_model(path, options, files)
        case Kind.KERAS:
            return _load_keras(path, options, files, budget)
        case Kind.ARCHIVE:
            return _load(unpack(path, temporary_folder(files), budget), options, files, budget)
        case _:
            raise LoadFailed("the zip's model is not one of TensorFlow or Keras, or is damaged; pack it again")


def _load_saved_model(path: Path, options: Options, files: ExitStack) -> SessionModel:
    meta_graph = read_meta_graph(path, options.tags)
    if not signature_names(meta_graph):
        return _load_functions(path, meta_graph, options, files)
    try:
        return opened(path, meta_graph, lambda wired: served(wired, options.signature), options)
    except NotRestored as failed:
        if not meta_graph.HasField("object_graph_def"):
            raise
        return _saved_again(path, meta_graph, failed.wired, options, files)
    except (tf.errors.OpError, ValueError) as error:
        if refusal := load_failed(error):
            raise refusal from error
        raise


def _saved_again(path: Path, meta_graph: MetaGraph, file: Wired, options: Options, files: ExitStack) -> SessionModel:
    """Keras 3 models saved with ``tf.saved_model.save``: their checkpoint names the weights otherwise than their graph,
    so that a session finds none. The object loader does; what it loaded, saved again, runs in a session.
    """
    copy = temporary_folder(files)
    try:
        loaded = tf.saved_model.load(str(path), tags=list(tags_of(meta_graph)))
        tf.saved_model.save(loaded, str(copy), signatures={name: loaded.signatures[name] for name in file.wirings})
    except Exception as error:  # rebuilding custom objects may raise anything
        raise not_loadable(error) from error
    loaded = None
    gc.collect()  # what the object loader built holds a second copy of the weights, in cycles
    return opened(
        copy,
        read_meta_graph(copy, None),
        lambda wired: served(wired_to_copy(file, wired), options.signature),
        options,
    )


def _load_functions(path: Path, meta_graph: MetaGraph, options: Options, files: ExitStack) -> SessionModel:
    """A file without signatures, whose functions become signatures."""
    found = traces(meta_graph)
    traced = [name for name, count in found.items() if count]
    if not traced:
        raise nothing_to_serve(meta_graph, found)
    copy = temporary_folder(files)
    try:
        module = tf.saved_model.load(str(path), tags=list(tags_of(meta_graph)))
    except Exception as error:
        raise not_loadable(error) from error
    functions, families = functions_of(module, traced)
    written, left_out = write(functions, save_module(module, copy))
    untraced = {name: UNTRACED for name, count in found.items() if not count}
    report_left_out("functions", untraced, any_left=True)
    del module, functions
    gc.collect()
    return opened(
        copy,
        read_meta_graph(copy, None),
        lambda wired: served_functions(
            wired.wirings, written, left_out, families_of(families), options.signature, untraced
        ),
        options,
    )


def _load_keras(path: Path, options: Options, files: ExitStack, budget: Budget) -> SessionModel:
    if options.tags is not None:
        raise InvalidOptions("a file of Keras has no tags")
    copy = temporary_folder(files)
    with ExitStack() as while_it_is_read:
        model = load_keras(safe_keras_file(path, partial(temporary_folder, while_it_is_read), budget))
    written, _ = write({DEFAULT_SIGNATURE: keras_function(model)}, save_keras(model, copy))
    del model
    gc.collect()
    return opened(
        copy, read_meta_graph(copy, None), lambda wired: served_keras(wired, written, options.signature), options
    )


def temporary_folder(files: ExitStack) -> Path:
    """A folder that lasts as long as ``files``. Raises `LoadFailed` where none can be made."""
    try:
        return Path(files.enter_context(TemporaryDirectory(prefix="mlbuffet-")))
    except OSError as error:
        reason = "loading it takes a folder for temporary files; name one that can be written in TMPDIR"
        raise LoadFailed(reason, detail=str(error)) from error

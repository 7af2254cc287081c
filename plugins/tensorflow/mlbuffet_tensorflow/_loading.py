"""A SavedModel on disk made into a session that answers."""

import gc
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlbuffet_tensorflow._graph import Graph
from mlbuffet_tensorflow._options import Options
from mlbuffet_tensorflow._refusals import NotRestored, load_failed, not_loadable
from mlbuffet_tensorflow._saved_model import MetaGraph, read_meta_graph, tags_of
from mlbuffet_tensorflow._session import SessionModel, close_session, open_session
from mlbuffet_tensorflow._signatures import Wiring, default_signature, wire
from mlbuffet_tensorflow._tensorflow import quiet, tf


def load_saved_model(path: Path, options: Options) -> SessionModel:
    """The model of the folder ``path``. Raises `LoadFailed`, or `InvalidOptions` for what the file does not have."""
    meta_graph = read_meta_graph(path, options.tags)
    with quiet():
        try:
            return _served(path, meta_graph, options)
        except NotRestored:
            if not meta_graph.HasField("object_graph_def"):
                raise
            return _saved_again(path, meta_graph, options)
        except (tf.errors.OpError, ValueError) as error:
            if refusal := load_failed(error):
                raise refusal from error
            raise


def _saved_again(path: Path, meta_graph: MetaGraph, options: Options) -> SessionModel:
    """Keras 3 models saved with ``tf.saved_model.save``: their checkpoint names the weights otherwise than their graph,
    so that a session finds none. The object loader does; what it loaded, saved again, runs in a session.
    """
    with ExitStack() as files:
        copy = Path(files.enter_context(TemporaryDirectory(prefix="mlbuffet-")))
        _save_again(path, meta_graph, copy)
        gc.collect()  # what the object loader built holds a second copy of the weights, in cycles
        saved = read_meta_graph(copy, None)
        model = _served(copy, saved, options)
        if saved.asset_file_def:  # a signature may read them at each call
            model.files = files.pop_all()
    return model


def _save_again(path: Path, meta_graph: MetaGraph, copy: Path) -> None:
    try:
        loaded = tf.saved_model.load(str(path), tags=list(tags_of(meta_graph)))
        tf.saved_model.save(loaded, str(copy), signatures=dict(loaded.signatures))
    except Exception as error:  # a stranger's objects are rebuilt here, which may fail in any way
        raise not_loadable(error) from error


def _served(path: Path, meta_graph: MetaGraph, options: Options) -> SessionModel:
    wirings = wire(meta_graph)
    default = default_signature(meta_graph, wirings, options.signature)
    session = open_session(options)
    try:
        tf.compat.v1.saved_model.load(session, list(tags_of(meta_graph)), str(path))
        if missing := _without_value(session, meta_graph, wirings):
            raise NotRestored(missing)
        return SessionModel(session, wirings, default, options)
    except BaseException:
        close_session(session)
        raise


def _without_value(session: Any, meta_graph: MetaGraph, wirings: Mapping[str, Wiring]) -> list[str]:
    """The variables that signatures depend on and that loading gave no value.

    Others do not matter: what Keras exports holds some that nothing reads.
    """
    graph = Graph(meta_graph.graph_def)
    checks = {}
    with session.graph.as_default():
        for node in graph.ancestors(tensor for wiring in wirings.values() for tensor in wiring.fetches):
            if node.op == "VarHandleOp":
                checks[node.name] = tf.raw_ops.VarIsInitializedOp(resource=_output(session, node))
            elif node.op in ("VariableV2", "Variable"):  # of TensorFlow 1
                checks[node.name] = tf.raw_ops.IsVariableInitialized(ref=_output(session, node))
    return [name for name, has_value in session.run(checks).items() if not has_value]


def _output(session: Any, node: Any) -> Any:
    return session.graph.get_tensor_by_name(f"{node.name}:0")

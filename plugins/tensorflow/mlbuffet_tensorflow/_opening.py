"""A SavedModel opened in a session of its own."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mlbuffet.errors import InvalidOptions
from mlbuffet_tensorflow._checks import Checks
from mlbuffet_tensorflow._graph import Graph
from mlbuffet_tensorflow._options import Options
from mlbuffet_tensorflow._refusals import NotRestored
from mlbuffet_tensorflow._saved_model import MetaGraph, tags_of
from mlbuffet_tensorflow._session import Served, SessionModel, close_session, open_session
from mlbuffet_tensorflow._signatures import Wired, wire
from mlbuffet_tensorflow._tensorflow import tf


def opened(path: Path, meta_graph: MetaGraph, serve: Callable[[Wired], Served], options: Options) -> SessionModel:
    """The model in the folder ``path``, with what ``serve`` makes of its signatures.

    Raises `NotRestored` where a session finds no value for a variable.
    """
    session = open_session(options)
    try:
        with session.graph.as_default(), tf.device(_device(session, options.device)):
            tf.compat.v1.saved_model.load(session, list(tags_of(meta_graph)), str(path))
        wired = wire(meta_graph, session.graph)
        served = serve(wired)
        fetches = [tensor for wirings in served.variants.values() for wiring in wirings for tensor in wiring.fetches]
        if missing := _without_value(session, meta_graph, fetches):
            raise NotRestored(missing, wired)
        checks = Checks(meta_graph.graph_def)
        return SessionModel(session, served, options, checks, reads_files=bool(meta_graph.asset_file_def))
    except BaseException:
        close_session(session)
        raise


def _device(session: Any, requested: str | None) -> str | None:
    """TensorFlow's name of the device ``requested``: ``/device:GPU:1`` of ``gpu:1``."""
    if requested is None:
        return None
    kind, _, number = requested.lower().removeprefix("/").removeprefix("device:").partition(":")
    name = f"/device:{kind.upper()}:{number or 0}"
    devices = [device.name for device in session.list_devices()]
    if not any(device.endswith(name) for device in devices):
        known = ", ".join(device.partition("/device:")[2].lower() for device in devices)
        raise InvalidOptions(f"there is no device {requested!r} here; there are: {known}")
    return name


def _without_value(session: Any, meta_graph: MetaGraph, fetches: Iterable[str]) -> list[str]:
    """The variables that signatures depend on and that loading gave no value.

    Others do not matter: what Keras exports holds some that nothing reads.
    """
    checks = {}
    with session.graph.as_default():
        for node in Graph(meta_graph.graph_def).ancestors(fetches):
            if node.op == "VarHandleOp":
                checks[node.name] = tf.raw_ops.VarIsInitializedOp(resource=_output(session, node))
            elif node.op in ("VariableV2", "Variable"):  # of TensorFlow 1
                checks[node.name] = tf.raw_ops.IsVariableInitialized(ref=_output(session, node))
    return [name for name, has_value in session.run(checks).items() if not has_value]


def _output(session: Any, node: Any) -> Any:
    return session.graph.get_tensor_by_name(f"{node.name}:0")

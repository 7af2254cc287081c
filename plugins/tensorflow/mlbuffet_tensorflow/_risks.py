"""What a model of TensorFlow or Keras can do besides computing, as its file says."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import Risk
from mlbuffet_tensorflow._archive import budget_of, unpack
from mlbuffet_tensorflow._artifact import Kind, kind_to_load
from mlbuffet_tensorflow._dangerous_ops import (
    ATTRIBUTES,
    CODE,
    FILES,
    IN_MEMORY_WITHOUT_NAME,
    NAMED_FILES,
    NETWORK,
)
from mlbuffet_tensorflow._file_names import FileNames, Scope
from mlbuffet_tensorflow._keras_file import configuration, lambda_layers
from mlbuffet_tensorflow._loading import temporary_folder
from mlbuffet_tensorflow._saved_model import MetaGraph, read_meta_graphs

_Capability: TypeAlias = Literal["code", "files", "network"]
_REACHES: dict[_Capability, str] = {
    "code": "calls code outside of the graph",
    "files": "reads or writes files that are not the model's",
    "network": "reaches other machines",
}


def risks_of(path: Path) -> list[Risk]:
    """Raises `LoadFailed` for a file that cannot be read."""
    match kind_to_load(path):
        case Kind.SAVED_MODEL:
            return list(dict.fromkeys(risk for graph in read_meta_graphs(path) for risk in _of_graph(graph)))
        case Kind.KERAS:
            return list(_of_keras(configuration(path)))
        case Kind.ARCHIVE:
            with ExitStack() as files:
                return risks_of(unpack(path, temporary_folder(files), budget_of(path)))
    raise LoadFailed("it is no model of TensorFlow or Keras that can be loaded")


def _of_graph(meta_graph: MetaGraph) -> Iterator[Risk]:
    for asset in meta_graph.asset_file_def:
        if asset.filename.startswith("/") or ".." in PurePosixPath(asset.filename).parts:
            yield Risk("files", f"its asset {asset.filename!r} lies outside of the model's folder")
    names = FileNames(meta_graph)
    found: dict[tuple[_Capability, str], list[str]] = defaultdict(list)
    for scope, node in names.nodes():
        if capability := _capability(scope, node, names):
            found[capability, node.op].append(node.name)
    for (capability, operation), nodes in sorted(found.items()):
        several = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
        text = f"the operation {operation} ({nodes[0]!r}{several}) {_REACHES[capability]}"
        yield Risk(capability, text)


def _capability(scope: Scope, node: Any, names: FileNames) -> _Capability | None:
    operation = node.op
    if operation in CODE:
        return "code"
    if operation in NETWORK:
        return "network"
    if operation in FILES:
        return "files"
    if operation in ATTRIBUTES:
        attribute, reaches = ATTRIBUTES[operation]
        return "files" if reaches(node.attr[attribute]) else None
    for position in NAMED_FILES.get(operation, ()):
        if operation in IN_MEMORY_WITHOUT_NAME and names.is_empty(scope, node, position):
            continue
        if not names.is_own(scope, node, position):
            return "files"
    return None


def _of_keras(config: Any) -> Iterator[Risk]:
    if names := sorted(set(lambda_layers(config))):
        yield Risk("code", f"its Lambda layers ({', '.join(names)}) hold Python code")
    for module in sorted(set(_modules(config))):
        yield Risk("code", f"it names objects of the Python module {module!r}, which Keras would import")
    for layer in sorted(set(_vocabularies(config))):
        yield Risk("files", f"its layer {layer!r} reads its vocabulary from a file that is not the model's")


def _modules(config: Any) -> Iterator[str]:
    """The modules in a configuration that are not Keras's own."""
    for part in _parts(config):
        module = part.get("module")
        if isinstance(module, str) and "class_name" in part and module.partition(".")[0] != "keras":
            yield module


def _vocabularies(config: Any) -> Iterator[str]:
    """The names of layers whose vocabulary is the path of a file."""
    for part in _parts(config):
        settings = part.get("config")
        if isinstance(settings, Mapping) and isinstance(settings.get("vocabulary"), str):
            yield str(settings.get("name"))


def _parts(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping in a configuration."""
    if isinstance(config, Mapping):
        yield config
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _parts(value)

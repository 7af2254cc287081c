"""Where the names of files in a graph come from."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any, TypeAlias

from mlbuffet_tensorflow._graph import called_functions, node_name

Scope: TypeAlias = str | None
"""The name of a function; ``None`` for the graph itself."""
_PASSED_ON = frozenset({"Identity", "ExpandDims", "Reshape", "Squeeze", "StopGradient", "Snapshot"})
_JOINING = frozenset({"StringJoin", "ShardedFilename", "ShardedFilespec"})
_CHOOSING = frozenset({"Select", "SelectV2", "Pack", "ConcatV2"})
_FIRST_ARGUMENT = {
    "PartitionedCall": 0,
    "StatefulPartitionedCall": 0,
    "While": 0,
    "StatelessWhile": 0,
    "If": 1,
    "StatelessIf": 1,
    "Case": 1,
    "StatelessCase": 1,
}
"""Which input of a node that calls functions is their first argument; what others give is not known."""
_NUMBERS = frozenset({"StaticRegexFullMatch", "RegexFullMatch"})
_TEXT = 7  # DT_STRING
_OF_VARIABLES = frozenset({"AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp"})
_NAME_IN_SAVERS = b"model"


class _Origin(IntEnum):
    """Of a text; of several the first counts."""

    FOREIGN = 0
    PART = 1
    """A constant that is part of a name."""
    OWN = 2
    """A file of the model, or what its checkpoint is saved to and restored from."""


class FileNames:
    """Tells the names of a model's own files from others, in all of a meta graph's nodes."""

    def __init__(self, meta_graph: Any) -> None:
        graph = meta_graph.graph_def
        self._functions = {function.signature.name: function for function in graph.library.function}
        self._scopes: dict[Scope, dict[str, Any]] = {None: {node.name: node for node in graph.node}}
        for name, function in self._functions.items():
            self._scopes[name] = {node.name: node for node in function.node_def}
        self._own = {node_name(asset.tensor_info.name) for asset in meta_graph.asset_file_def}
        self._own.add(node_name(meta_graph.saver_def.filename_tensor_name))
        signatures = meta_graph.signature_def.values()
        self._own -= {node_name(given.name) for signature in signatures for given in signature.inputs.values()}
        self._callers: dict[str, list[tuple[Scope, Any]]] = defaultdict(list)
        for scope, node in self.nodes():
            for name in {*called_functions(node), node.op} & self._functions.keys():
                self._callers[name].append((scope, node))

    def nodes(self) -> Iterator[tuple[Scope, Any]]:
        """Every node, of the graph and of each function."""
        for scope, nodes in self._scopes.items():
            for node in nodes.values():
                yield scope, node

    def is_own(self, scope: Scope, node: Any, position: int) -> bool:
        """Whether an input of a node is the name of one of the model's own files."""
        return position < len(node.input) and self._origin(scope, node.input[position], []) is _Origin.OWN

    def is_empty(self, scope: Scope, node: Any, position: int) -> bool:
        """Whether an input of a node is the empty text."""
        source = self._scopes[scope].get(node_name(node.input[position]))
        return source is not None and source.op == "Const" and _texts(source) == [b""]

    def _origin(self, scope: Scope, tensor: str, met: list[tuple[Scope, str]]) -> _Origin:
        name = node_name(tensor)
        if (scope, name) in met:  # a loop adds nothing
            return _Origin.OWN
        met = [*met, (scope, name)]
        if scope is None and name in self._own:
            return _Origin.OWN
        if scope is not None and (position := self._argument(scope, name)) is not None:
            return self._origin_of_argument(scope, position, met)
        node = self._scopes[scope].get(name)
        return _Origin.FOREIGN if node is None else self._origin_of_output(scope, node, met)

    def _origin_of_output(self, scope: Scope, node: Any, met: list[tuple[Scope, str]]) -> _Origin:
        sources = [source for source in node.input if not source.startswith("^")]
        if node.op == "Const":
            return _origin_of_constant(node)
        if node.op == "PlaceholderWithDefault":  # TensorFlow 1 has one in each saver, of which one counts
            source = self._scopes[scope].get(node_name(sources[0]))
            is_default = source is not None and _texts(source) == [_NAME_IN_SAVERS]
            return _Origin.OWN if is_default else self._origin(scope, sources[0], met)
        if node.op == "ReadVariableOp":
            return self._origin_of_variable(scope, node_name(sources[0]), met)
        if node.op in _PASSED_ON:
            return self._origin(scope, sources[0], met)
        if node.op in _JOINING:
            first, *others = (self._origin(scope, source, met) for source in sources if self._is_text(scope, source))
            return _Origin.FOREIGN if _Origin.FOREIGN in others else first
        if node.op in _CHOOSING:
            return _worst(self._origin(scope, source, met) for source in sources if self._is_text(scope, source))
        return _Origin.FOREIGN

    def _origin_of_variable(self, scope: Scope, handle: str, met: list[tuple[Scope, str]]) -> _Origin:
        """Of what is assigned to a variable of the graph; of one that functions have too, nothing is known."""
        node = self._scopes[scope].get(handle)
        if scope is not None or node is None or node.op != "VarHandleOp":
            return _Origin.FOREIGN
        same = [other for _, other in self.nodes() if other.op == "VarHandleOp" and _shared(other) == _shared(node)]
        users = [one for one in self._scopes[None].values() if handle in map(node_name, one.input)]
        if len(same) > 1 or not {one.op for one in users} <= _OF_VARIABLES:
            return _Origin.FOREIGN
        return _worst(self._origin(None, one.input[1], met) for one in users if one.op == "AssignVariableOp")

    def _origin_of_argument(self, scope: str, position: int, met: list[tuple[Scope, str]]) -> _Origin:
        """Of what all callers of a function give; one that no node calls, clients may."""
        callers = self._callers[scope]
        given = (self._origin_given(caller, node, scope, position, met) for caller, node in callers)
        return _worst(given) if callers else _Origin.FOREIGN

    def _origin_given(
        self, caller: Scope, node: Any, function: str, position: int, met: list[tuple[Scope, str]]
    ) -> _Origin:
        first = 0 if node.op == function else _FIRST_ARGUMENT.get(node.op)
        if first is None or first + position >= len(node.input):
            return _Origin.FOREIGN
        return self._origin(caller, node.input[first + position], met)

    def _argument(self, scope: str, name: str) -> int | None:
        arguments = self._functions[scope].signature.input_arg
        return next((position for position, one in enumerate(arguments) if one.name == name), None)

    def _is_text(self, scope: Scope, tensor: str) -> bool:
        """Whether a tensor may be text: numbers of shards and conditions are not."""
        node = self._scopes[scope].get(node_name(tensor))
        return node is None or (
            node.op not in _NUMBERS and not (node.op == "Const" and node.attr["dtype"].type != _TEXT)
        )


def _origin_of_constant(node: Any) -> _Origin:
    texts = _texts(node)
    is_part = texts and all(b".." not in text and b"://" not in text for text in texts)
    return _Origin.PART if is_part else _Origin.FOREIGN


def _shared(node: Any) -> bytes:
    """The name by which several nodes mean one variable."""
    name: bytes = node.attr["shared_name"].s
    return name or node.name.encode()


def _texts(node: Any) -> list[bytes]:
    """Those of a constant; none where they are packed, which TensorFlow does not write."""
    tensor = node.attr["value"].tensor
    return [] if tensor.tensor_content else list(tensor.string_val)


def _worst(origins: Iterable[_Origin]) -> _Origin:
    return min(origins, default=_Origin.OWN)

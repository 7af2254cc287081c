"""The checks in a model's graph, and their messages where they fail."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mlbuffet_tensorflow._graph import node_name

_LEFT_OUT = "..."
_OF_TENSORFLOW = re.compile(
    r"Condition x|x and y not equal to|Tensor .*(?:must have rank|dimension)|Rank must be a scalar"
    r"|Specified (?:explicitly|by tensor)"
)
"""How the explanations begin that tf.debugging puts after an author's message (check_ops.py)."""
_NOT_FOR_CLIENTS = re.compile(
    r"\b(?!https?:)[a-z][a-z0-9]+://[^\s'\",;)]+"  # gs://bucket/file
    r"|(?<![\w:/\\.])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\",;)]+[/\\])+[^\s'\",;)]*"  # /home/me/file, and no km/h
    r"|\b0x[0-9a-fA-F]{6,}"
)
_NODE = re.compile(r"([\w.][\w./\\-]*)(:\d+\b)?")
_CALLING = {
    "PartitionedCall": ("f",),
    "StatefulPartitionedCall": ("f",),
    "If": ("then_branch", "else_branch"),
    "StatelessIf": ("then_branch", "else_branch"),
}
"""The operations that call functions, and the attributes that name these."""
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "'": "\\'", "\\": "\\\\"}

Pieces = tuple[str, ...]
"""A text without what is only known when it is computed, which lies between the pieces."""
_UNKNOWN: Pieces = ("", "")


@dataclass(frozen=True)
class Check:
    """A node that fails with TensorFlow's text, of which ``traces`` are parts in their order."""

    traces: Pieces
    words: str
    """The author's message, fit for a client; empty where there is none."""

    def failed(self, message: str) -> bool:
        """Whether ``message`` may be of this node."""
        position = 0
        for trace in self.traces:
            position = message.find(trace, position)
            if position < 0:
                return False
            position += len(trace)
        return True


class Checks:
    """The checks in a graph and in its functions."""

    def __init__(self, graph_def: Any) -> None:
        root = _Scope(graph_def.node, [])
        functions = {
            function.signature.name: _Scope(function.node_def, [each.name for each in function.signature.input_arg])
            for function in graph_def.library.function
        }
        scopes = [root, *functions.values()]
        checking = [(node, scope) for scope in scopes for node in scope.nodes.values() if node.op in _KINDS]
        names: set[str] = set()
        if checking:
            for scope in scopes:
                scope.tell(functions)
                names |= {*scope.nodes, *scope.arguments}
        found = (_KINDS[node.op](node, scope) for node, scope in checking)
        self._checks = tuple(dict.fromkeys(Check(traces, _presentable(words, names)) for traces, words in found))

    def words_for(self, message: str) -> str:
        """The author's message for the failure that TensorFlow's ``message`` reports; empty where there is none."""
        failed = [check for check in self._checks if check.failed(message)]
        return max(failed, key=lambda check: sum(map(len, check.traces)), default=Check((), "")).words


class _Scope:
    """The nodes of a graph or a function, and the texts that they compute as far as these are known."""

    def __init__(self, nodes: Any, arguments: Sequence[str]) -> None:
        self.nodes: Mapping[str, Any] = {node.name: node for node in nodes}
        self.arguments = arguments
        self._given: dict[str, tuple[_Scope, str]] = {}
        """The tensors of a caller that the arguments are."""

    def tell(self, functions: Mapping[str, "_Scope"]) -> None:
        """Give the ``functions`` that are called here their arguments."""
        for node in self.nodes.values():
            for attribute in _CALLING.get(node.op, ()):
                called = functions.get(node.attr[attribute].func.name)
                if called and called.arguments and called is not self:
                    tensors = _tensors(node.input)[-len(called.arguments) :]  # the condition of an If comes first
                    called._given = {
                        name: (self, tensor) for name, tensor in zip(called.arguments, tensors, strict=False)
                    }

    def pieces(self, tensor: str) -> Pieces:
        """What is known of the text in ``tensor``."""
        name = node_name(tensor)
        if name in self._given:
            scope, given = self._given[name]
            return scope.pieces(given)
        if name not in self.nodes:
            return _UNKNOWN
        node = self.nodes[name]
        match node.op:
            case "Const" if len(texts := node.attr["value"].tensor.string_val) == 1:
                return (texts[0].decode(errors="replace"),)
            case "Identity" | "Switch" | "Enter":
                return self.pieces(node.input[0])
            case "StringFormat":
                return tuple(_attribute(node, "template").split(_attribute(node, "placeholder")))
            case "StringJoin":
                return _joined([self.pieces(each) for each in _tensors(node.input)], _attribute(node, "separator"))
        return _UNKNOWN


def _assert(node: Any, scope: _Scope) -> tuple[Pieces, str]:
    """``assertion failed: [text] [text]``, its texts escaped as C does it."""
    data = [scope.pieces(each) for each in _tensors(node.input)[1:]]
    traces = _joined([tuple(map(_escaped, pieces)) for pieces in data], "] [")
    messages = []
    for pieces in data:
        if _OF_TENSORFLOW.match(pieces[0]):
            break
        messages.append(_LEFT_OUT.join(pieces).removesuffix(".  ").strip())  # tf.debugging puts that after a message
    words = [word for word, _ in groupby(filter(None, messages))]
    while words and words[-1] == _LEFT_OUT:
        words.pop()
    return ("assertion failed: [", *traces, "]"), " ".join(words)


def _check_numerics(node: Any, _scope: _Scope) -> tuple[Pieces, str]:
    """``text : Tensor had NaN values``."""
    message = _attribute(node, "message")
    return (f"{message} : Tensor had ",), message


_KINDS: Mapping[str, Callable[[Any, _Scope], tuple[Pieces, str]]] = {
    "Assert": _assert,
    "CheckNumerics": _check_numerics,
    "CheckNumericsV2": _check_numerics,
}


def _presentable(words: str, names: Set[str]) -> str:
    """``words`` without paths, addresses, and nodes of ``names`` where no other word looks so: x:0, dense/kernel."""

    def without_node(found: re.Match[str]) -> str:
        return _LEFT_OUT if found[1] in names and (found[2] or "/" in found[1]) else found[0]

    return _NOT_FOR_CLIENTS.sub(_LEFT_OUT, _NODE.sub(without_node, words)).strip()


def _tensors(inputs: Iterable[str]) -> list[str]:
    return [each for each in inputs if not each.startswith("^")]


def _joined(texts: list[Pieces], separator: str) -> Pieces:
    """One text of ``texts``."""
    pieces = list(texts[0]) if texts else [""]
    for first, *others in texts[1:]:
        pieces[-1] += separator + first
        pieces += others
    return tuple(pieces)


def _attribute(node: Any, name: str) -> str:
    value: bytes = node.attr[name].s
    return value.decode(errors="replace")


def _escaped(text: str) -> str:
    """As absl::Utf8SafeCEscape does it."""
    return "".join(
        _ESCAPES.get(letter) or (letter if letter >= " " and letter != "\x7f" else f"\\{ord(letter):03o}")
        for letter in text
    )

"""What the tensors of a graph come from."""

from collections.abc import Iterable, Mapping
from typing import Any

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_WRAPPER = "signature_wrapper"  # in the name of the function that TensorFlow puts around each signature when it saves
_KEEPING = ("Assign", "Enqueue", "Stage", "StackPush", "TensorArrayWrite", "BarrierInsert")


class Graph:
    """A GraphDef with its nodes and functions by name."""

    def __init__(self, graph_def: Any) -> None:
        self.nodes = {node.name: node for node in graph_def.node}
        self.functions = {function.signature.name: function for function in graph_def.library.function}

    def ancestors(self, tensors: Iterable[str]) -> list[Any]:
        """The nodes that ``tensors`` are computed from, those of the tensors included."""
        found: dict[str, Any] = {}
        waiting = [node_name(tensor) for tensor in tensors]
        while waiting:
            name = waiting.pop()
            if name not in found and name in self.nodes:
                found[name] = self.nodes[name]
                waiting.extend(node_name(source) for source in found[name].input)
        return list(found.values())

    def keeps_tensors(self, tensors: Iterable[str]) -> bool:
        """Whether computing ``tensors`` may put a tensor away for later: into a variable, a queue, a staging area."""
        met: set[str] = set()
        waiting = self.ancestors(tensors)
        while waiting:
            node = waiting.pop()
            if any(word in node.op for word in _KEEPING):
                return True
            for name in called_functions(node) - met:
                met.add(name)
                waiting.extend(self.functions[name].node_def if name in self.functions else ())
        return False

    def declared_order(self, inputs: Iterable[str], outputs: Iterable[str]) -> list[str]:
        """``inputs`` in the order in which the saved function takes them, as far as one does.

        A signature is saved as a call of a wrapper, which takes its arguments sorted and calls the function itself.
        """
        for output in outputs:
            if self.nodes[node_name(output)].op in _CALLS:
                return self._order(self.nodes[node_name(output)], {node_name(tensor): tensor for tensor in inputs})
        return []

    def _order(self, call: Any, tensors: Mapping[str, str]) -> list[str]:
        """The values of ``tensors`` in the order in which ``call`` takes the keys, looking through wrappers."""
        name = call.attr["f"].func.name
        body = self.functions[name].node_def if _WRAPPER in name else ()
        for node in body:
            if node.op in _CALLS:
                taken = zip(self.functions[name].signature.input_arg, call.input, strict=False)  # ^controls come last
                return self._order(
                    node, {argument.name: tensors[source] for argument, source in taken if source in tensors}
                )
        return [tensors[source] for source in call.input if source in tensors]


def node_name(tensor: str) -> str:
    """The node of a tensor or a control input: ``dense`` of ``dense:0`` and of ``^dense``."""
    return tensor.removeprefix("^").partition(":")[0]


def called_functions(node: Any) -> set[str]:
    """The names of the functions that a node calls."""
    functions = [value.func.name for value in node.attr.values() if value.HasField("func")]
    branches = [function.name for value in node.attr.values() for function in value.list.func]
    return {*functions, *branches}

"""The tf.functions that a file holds beside its signatures, or instead of them."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from mlbuffet_tensorflow._saved_model import MetaGraph
from mlbuffet_tensorflow._tensorflow import tf
from mlbuffet_tensorflow._written import Function, named_leaves


def traces(meta_graph: MetaGraph) -> dict[str, int]:
    """The tf.functions that are attributes of the saved object, and how often each was traced."""
    nodes = meta_graph.object_graph_def.nodes
    return {
        child.local_name: len(nodes[child.node_id].function.concrete_functions)
        for child in (nodes[0].children if nodes else ())
        if nodes[child.node_id].HasField("function")
    }


def functions_of(module: Any, names: Iterable[str]) -> tuple[dict[str, Function], dict[str, str]]:
    """Every trace of the functions ``names`` of a loaded ``module`` by a name of its own, and that of its function."""
    functions: dict[str, Function] = {}
    families: dict[str, str] = {}
    for name in names:
        concrete = getattr(module, name).concrete_functions
        for number, function in enumerate(concrete, 1):
            own = name if len(concrete) == 1 else f"{name}#{number}"
            functions[own] = _function(function)
            families[own] = name
    return functions, families


def _function(concrete: Any) -> Function:
    """Arguments that are no tensors keep the values that the function was traced with."""
    positional, keywords = concrete.structured_input_signature
    names = concrete.function_type.parameters  # those of positional arguments come first
    arguments = [*zip(names, positional, strict=False), *sorted(keywords.items())]
    inputs = [
        (getattr(leaf, "name", None) or name, leaf)
        for name, nest in arguments
        for leaf in tf.nest.flatten(nest)
        if isinstance(leaf, tf.TypeSpec)
    ]
    leaves = tf.nest.flatten(concrete.structured_input_signature)
    return Function(partial(_call, concrete, leaves), inputs, named_leaves)


def _call(concrete: Any, leaves: list[Any], *tensors: Any) -> Any:
    given = iter(tensors)
    filled = [next(given) if isinstance(leaf, tf.TypeSpec) else leaf for leaf in leaves]
    positional, keywords = tf.nest.pack_sequence_as(concrete.structured_input_signature, filled)
    return concrete(*positional, **keywords)


def families_of(names: Mapping[str, str]) -> dict[str, list[str]]:
    """The traces of each function."""
    families: dict[str, list[str]] = {}
    for own, name in names.items():
        families.setdefault(name, []).append(own)
    return families

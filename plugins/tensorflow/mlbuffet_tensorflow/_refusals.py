"""Why a SavedModel cannot be served, in sentences that say what to do instead."""

import re
from typing import Any

from mlbuffet.errors import LoadFailed
from mlbuffet_tensorflow._tensorflow import tf

_AT_LOAD = (
    (
        r"Op type not registered '([^']+)'",
        "it needs the operation {0!r}, which TensorFlow {version} does not have by itself; save the model without it, "
        "or import the Python package that brings it before the model is loaded",
    ),
    (
        r"not a valid checkpoint|variables\.(?:data|index)\S*; No such file",
        "the weights are missing: its folder variables/ lacks a file; copy the whole folder that the save wrote, or "
        "save the model again",
    ),
    (
        r"/assets/\S*; No such file",
        "a file that it reads from its folder assets/ is missing; copy the whole folder that the save wrote",
    ),
    (
        r"sstable|Read less bytes than requested|(?i:checksum|corrupted)",
        "the weights in its folder variables/ are damaged or cut short; copy or save the model again",
    ),
)
_DECORATED = "@tf.function(input_signature=[tf.TensorSpec(shape, dtype)])"


class NotRestored(LoadFailed):
    """Signatures depend on ``variables`` to which a session that loaded the file gives no value."""

    def __init__(self, variables: list[str]) -> None:
        super().__init__(
            f"the file holds no value for {len(variables)} of the variables that its signatures use, among them "
            f"{variables[0]!r}; save the model again, with model.export(path) where Keras made it"
        )


def load_failed(error: Exception) -> LoadFailed | None:
    """What TensorFlow's ``error`` at load means, where its text says so for certain."""
    for pattern, sentence in _AT_LOAD:
        if found := re.search(pattern, str(error)):
            reason = sentence.format(*found.groups(), version=tf.__version__)
            return LoadFailed(reason, detail=str(error))
    return None


def not_loadable(error: Exception) -> LoadFailed:
    """A session finds no weights for the signatures, and the file's objects, which know where they are, are broken."""
    reason = (
        "its weights can only be found through the Python objects of the file, which this TensorFlow cannot load; save "
        "the model again with model.export(path)"
    )
    return LoadFailed(reason, detail=f"{type(error).__name__}: {error}")


def no_signatures(meta_graph: Any) -> LoadFailed:
    """The file has graphs and functions perhaps, but nothing that says which of them to serve."""
    if not meta_graph.HasField("object_graph_def"):
        return LoadFailed(
            "the file has no signatures; save it with builder.add_meta_graph_and_variables(..., signature_def_map="
            '{"serving_default": ...}), or with tf.compat.v1.saved_model.simple_save'
        )
    functions = _functions(meta_graph.object_graph_def)
    traced = [name for name, traces in functions.items() if traces]
    if traced:
        return LoadFailed(
            f"the file has no signatures, only functions ({', '.join(traced)}), and nothing says which to serve; save "
            'it with tf.saved_model.save(model, path, signatures={"serving_default": '
            f"model.{traced[0]}.get_concrete_function()}}), giving the inputs' tf.TensorSpec where the function has no "
            "input_signature"
        )
    if functions:
        return LoadFailed(
            f"the file has no signatures: its functions ({', '.join(functions)}) were never called and say nothing of "
            f"their inputs, so nothing of them was saved; decorate one with {_DECORATED} and save again"
        )
    return LoadFailed(
        "the file has no signatures and no functions; make the model a tf.Module that calls super().__init__(), "
        f"decorate the method to serve with {_DECORATED}, and save again"
    )


def _functions(object_graph: Any) -> dict[str, int]:
    """The tf.functions that are attributes of the saved object, and how often each was traced."""
    nodes = object_graph.nodes
    return {
        child.local_name: len(nodes[child.node_id].function.concrete_functions)
        for child in (nodes[0].children if nodes else ())
        if nodes[child.node_id].HasField("function")
    }

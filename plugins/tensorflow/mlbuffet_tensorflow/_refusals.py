"""Why a SavedModel cannot be served, in sentences that say what to do instead."""

import re
from collections.abc import Iterable
from typing import Any

from mlbuffet.errors import LoadFailed
from mlbuffet_tensorflow._signatures import Wired
from mlbuffet_tensorflow._tensorflow import tf

_AT_LOAD = (
    (
        r"Op type not registered '([^']+)'",
        "it needs the operation {0!r}, which TensorFlow {version} does not have by itself; name the Python module that "
        'brings it with the option imports, such as imports = ["tensorflow_text"] (in the table [options] of its '
        "model.toml, with --option, or options=), or save the model without the operation",
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
    (
        r"The type '([^']+)' has not been registered",
        "one of its functions takes or returns a {0!r}, a type of a Python package that is not imported here; name its "
        "module with the option imports (in the table [options] of its model.toml, with --option, or options=), or "
        "save the model with signatures={{...}} of functions that take and return tensors",
    ),
)
_DECORATED = "@tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])"


class NotRestored(LoadFailed):
    """Signatures depend on ``variables`` to which a session that loaded the file gives no value."""

    def __init__(self, variables: list[str], wired: Wired) -> None:
        super().__init__(
            f"the file holds no value for {len(variables)} of the variables that its signatures use, among them "
            f"{variables[0]!r}; save the model again, with model.export(path) where Keras made it"
        )
        self.wired = wired
        """The signatures of the file."""


def load_failed(error: Exception) -> LoadFailed | None:
    """What TensorFlow's ``error`` at load means, where its text says so for certain."""
    for pattern, sentence in _AT_LOAD:
        if found := re.search(pattern, str(error)):
            reason = sentence.format(*found.groups(), version=tf.__version__)
            return LoadFailed(reason, detail=str(error))
    return None


def not_loadable(error: Exception) -> LoadFailed:
    """What is to be served can only be found through the file's objects, and those are broken."""
    if known := load_failed(error):
        return known
    reason = (
        "its weights or functions can only be found through the Python objects of the file, which this TensorFlow "
        "cannot load; save the model again with model.export(path), or with tf.saved_model.save and signatures={...}"
    )
    return LoadFailed(reason, detail=f"{type(error).__name__}: {error}")


def nothing_to_serve(meta_graph: Any, functions: Iterable[str]) -> LoadFailed:
    """The file has neither signatures nor a function that was traced; ``functions`` are those that were not."""
    if not meta_graph.HasField("object_graph_def"):
        return LoadFailed(
            "the file has no signatures; save it with builder.add_meta_graph_and_variables(..., signature_def_map="
            '{"serving_default": ...}), or with tf.compat.v1.saved_model.simple_save'
        )
    if names := ", ".join(functions):
        return LoadFailed(
            f"the file has no signatures: its functions ({names}) were never called and say nothing of their inputs, "
            f"so nothing of them was saved; decorate one with `{_DECORATED}` and save again"
        )
    nodes = meta_graph.object_graph_def.nodes
    holders = [
        child.local_name
        for child in (nodes[0].children if nodes else ())
        if any(nodes[one.node_id].HasField("function") for one in nodes[child.node_id].children)
    ]
    if holders:
        return LoadFailed(
            f"the file has no signatures, and its functions are those of its parts ({', '.join(holders)}); save such a "
            "part itself, or save with signatures={'serving_default': model.part.function}"
        )
    return LoadFailed(
        "the file has no signatures and no functions: TensorFlow saves none of a class's methods by itself; make it "
        f"`class Model(tf.Module):`, call `super().__init__()` in its `__init__`, decorate the method to serve with "
        f"`{_DECORATED}`, and save again"
    )

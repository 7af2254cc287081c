"""The arguments and results of an exported function as the inputs and outputs of a signature."""

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from jax.export import Exported
from jax.extend.mlir import ir
from jax.interpreters.mlir import make_ir_context
from jax.tree_util import DictKey, PyTreeDef, SequenceKey, keystr, tree_flatten_with_path, tree_unflatten

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Signature, TensorSpec

logger = logging.getLogger("mlbuffet_jax")

Path = tuple[Any, ...]


def signature_of(exported: Exported) -> Signature:
    """One input for each array of the arguments, and one output for each of the results, in JAX's order."""
    inputs = zip(_input_names(exported), exported.in_avals, strict=True)
    outputs = zip(map(_output_name, _paths(exported.out_tree)), exported.out_avals, strict=True)
    return Signature([_spec(*one) for one in inputs], [_spec(*one) for one in outputs])


def _spec(name: str, array: Any) -> TensorSpec:
    if not isinstance(array.dtype, np.dtype):
        raise LoadFailed(f"{name!r} is a key of jax.random; export a function of its data (jax.random.key_data)")
    shape = [size if isinstance(size, int) else _dimension(str(size)) for size in array.shape]
    sizes = ", ".join(map(str, array.shape))
    return TensorSpec(name, array.dtype, shape, description=f"its shape is ({sizes})" if None in shape else "")


def _dimension(size: str) -> str | None:
    """The name of a symbolic dimension; ``None`` for an expression such as 2*b."""
    return size if size.isidentifier() else None


def _paths(tree: PyTreeDef) -> list[Path]:
    """Where in ``tree`` the arrays are."""
    return [path for path, _ in tree_flatten_with_path(tree_unflatten(tree, range(tree.num_leaves)))[0]]


def _output_name(path: Path) -> str:
    name = keystr(path, simple=True, separator="_")
    return name if path and isinstance(path[0], DictKey) else f"output_{name or 0}"


def _input_names(exported: Exported) -> Iterator[str]:
    """The names of the arguments, with the keys of what they hold; of a single dict the keys alone."""
    paths = _paths(exported.in_tree)
    arguments = _arguments(exported, paths)
    for path in paths:
        keys = path[2:]
        if len(arguments) == 1 and keys and isinstance(keys[0], DictKey):
            yield keystr(keys, simple=True, separator="_")
        else:
            yield "_".join([arguments[path[:2]], *(keystr((key,), simple=True) for key in keys)])


def _arguments(exported: Exported, paths: list[Path]) -> dict[Path, str]:
    """The names of the arguments of the function: ``input_0`` where the module does not know it."""
    names = {
        path[:2]: f"input_{path[1].idx}" if isinstance(path[1], SequenceKey) else str(path[1].key) for path in paths
    }
    for number, location in zip(exported.module_kept_var_idx, _locations(exported), strict=True):
        path = paths[number]
        if location and isinstance(path[1], SequenceKey):
            names[path[:2]] = re.sub(r"\W+", "_", location.removesuffix(keystr(path[2:]))).strip("_")
    return names


def _locations(exported: Exported) -> list[str | None]:
    """What the module says its arguments were in the source, such as x, or batch['ids']; ``None`` where it does not."""
    with make_ir_context() as context:
        context.attach_diagnostic_handler(_log)  # else it prints what is wrong with a damaged file
        module = exported.mlir_module(serialized=False)  # its operations live as long as this
        functions = ir.SymbolTable(module.operation)
        main = functions["_wrapped_jax_export_main" if "_wrapped_jax_export_main" in functions else "main"]
        found = [getattr(argument.location, "name_str", None) for argument in main.arguments]
    return found[len(found) - len(exported.module_kept_var_idx) :]


def _log(diagnostic: Any) -> bool:
    with suppress(RuntimeError):  # of a damaged file it may not be text
        logger.info("MLIR: %s", diagnostic.message)
    return True

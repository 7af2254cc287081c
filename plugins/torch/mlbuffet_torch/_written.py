"""What an exported program writes into besides its outputs."""

from collections.abc import Iterator

from torch.export import ExportedProgram
from torch.fx import Node

from mlbuffet.errors import LoadFailed


def written_inputs(program: ExportedProgram) -> set[str]:
    """The inputs into which ``program`` writes. Raises `LoadFailed` where it writes into tensors of its own."""
    signature = program.graph_signature
    written = {*_written(program), *signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()}
    own = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    kept = [*(own[name] for name in written if name in own), *signature.buffers_to_mutate.values()]
    if kept:
        raise LoadFailed(
            f"each call changes {kept[0]!r} in it, so that an answer would depend on earlier calls; call model.eval() "
            "before torch.export.export, and give states as inputs and outputs"
        )
    return written


def _written(program: ExportedProgram) -> Iterator[str]:
    """The placeholders that are arguments which an operator writes into."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        for number, argument in enumerate(schema.arguments if schema and schema.is_mutable else ()):
            given = node.args[number] if number < len(node.args) else node.kwargs.get(argument.name)
            if argument.alias_info and argument.alias_info.is_write and isinstance(given, Node):
                yield _viewed(given).name


def _viewed(node: Node) -> Node:
    """The tensor of which ``node`` is a view, or itself."""
    schema = getattr(node.target, "_schema", None)
    is_view = schema and schema.returns and schema.returns[0].alias_info
    return _viewed(node.args[0]) if is_view and node.args and isinstance(node.args[0], Node) else node

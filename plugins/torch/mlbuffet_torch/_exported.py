"""Programs of torch.export."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, CustomObjArgument, InputKind, OutputKind
from torch.export.passes import move_to_device_pass
from torch.export.pt2_archive._package import load_pt2
from torch.fx.graph import CodeGen
from torch.utils import _pytree as pytree

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Signature, TensorSpec
from mlbuffet_torch._arrays import reader
from mlbuffet_torch._function import Argument, Function
from mlbuffet_torch._names import named_leaves, output_dtype
from mlbuffet_torch._torch import torch
from mlbuffet_torch._written import written_inputs

_SCALARS = {torch.SymInt: "int64", torch.SymFloat: "float64", torch.SymBool: "bool"}


def exported_functions(path: Path, device: torch.device) -> dict[str, Function]:
    """The programs at ``path`` by name. Raises `LoadFailed`, or an error of PyTorch."""
    with path.open("rb") as file:  # PyTorch complains of names that do not end in .pt2
        programs = load_pt2(file).exported_programs
    return {name: exported_function(program, device) for name, program in programs.items()}


def exported_function(program: ExportedProgram, device: torch.device) -> Function:
    """``program`` on ``device``. Raises `LoadFailed`.

    Its graph is called with a flat list: what PyTorch does for nested arguments takes longer than a small model.
    """
    written = written_inputs(program)
    if any(tensor.device != device for tensor in program.state_dict.values()) or device.type != "cpu":
        program = move_to_device_pass(program, device)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    given = [spec.arg for spec in program.graph_signature.input_specs if spec.kind == InputKind.USER_INPUT]
    dimensions = _dimension_names({one.name: values.get(one.name) for one in given})
    arguments = [_argument(one, values, device, is_written=one.name in written) for one in given]
    inputs = [_spec(one.name, values[one.name], dimensions) for one in given if not isinstance(one, ConstantArgument)]
    results = _results(program, values)
    outputs = [None if value is None else _spec(name, value, dimensions) for name, value in results]
    module = program.module(check_guards=_has_rules(program))
    module.graph.set_codegen(CodeGen())
    module.recompile()
    forward = module.forward
    places = [place for place, spec in enumerate(outputs) if spec]
    return Function(Signature(inputs, filter(None, outputs)), arguments, lambda flat: forward(*flat), places)


def _argument(argument: Any, values: Mapping[str, Any], device: torch.device, *, is_written: bool) -> Argument:
    match argument:
        case ConstantArgument():  # a number or text when the program was exported, and no input
            return Argument(argument.name, _as_number, argument.value)
        case CustomObjArgument():
            raise LoadFailed(f"the argument {argument.name!r} is an object of C++; export a model that takes tensors")
    is_tensor = isinstance(values[argument.name], torch.Tensor)
    return Argument(argument.name, reader(device, is_written=is_written) if is_tensor else _as_number)


def _as_number(array: Any) -> Any:
    return array.item()


def _results(program: ExportedProgram, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What the program returns, by name: a tensor without values for each tensor."""
    returned = [spec.arg for spec in program.graph_signature.output_specs if spec.kind == OutputKind.USER_OUTPUT]
    leaves = [one.value if isinstance(one, ConstantArgument) else values[one.name] for one in returned]
    assert program.call_spec.out_spec is not None
    return named_leaves(pytree.tree_unflatten(leaves, program.call_spec.out_spec))


def _spec(name: str, value: Any, dimensions: Mapping[str, str]) -> TensorSpec:
    if type(value) in _SCALARS:
        return TensorSpec(name, _SCALARS[type(value)], ())
    shape = value.shape if isinstance(value, torch.Tensor) else ()
    sizes = [size if isinstance(size, int) else dimensions.get(str(size.node.expr)) for size in shape]
    return TensorSpec(name, output_dtype(name, value), sizes)


def _dimension_names(values: Mapping[str, Any]) -> dict[str, str]:
    """Names for the symbols of sizes: the file has lost those that were given when the program was exported."""
    names: dict[str, str] = {}
    for name, value in values.items():
        for axis, size in enumerate(getattr(value, "shape", ())):
            if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                is_batch = axis == 0 and "batch" not in names.values()
                names.setdefault(str(size.node.expr), "batch" if is_batch else f"{name}_{axis}")
    return names


def _has_rules(program: ExportedProgram) -> bool:
    """Whether sizes follow rules beyond being equal. A lower limit of 2 is none: PyTorch does not hold it."""
    ranges = program.range_constraints
    return bool(program._guards_code) or any(
        not symbol.is_Symbol or one.lower > 2 or one.upper < 2**62 for symbol, one in ranges.items()
    )

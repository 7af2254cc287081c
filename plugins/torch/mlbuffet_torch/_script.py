"""TorchScript models."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mlbuffet.errors import InvalidOptions, LoadFailed
from mlbuffet.tensors import Signature, TensorSpec, shape_text, texts_in
from mlbuffet_torch._arrays import reader
from mlbuffet_torch._function import Argument, Function
from mlbuffet_torch._names import leaves, outer_dtype
from mlbuffet_torch._torch import torch
from mlbuffet_torch._trial import tried_outputs

_VALUES: Mapping[str, tuple[str, Callable[[NDArray[Any], str], Any]]] = {
    "int": ("int64", lambda array, _: array.item()),
    "float": ("float64", lambda array, _: array.item()),
    "bool": ("bool", lambda array, _: array.item()),
    "str": ("object", lambda array, name: texts_in(array, name)[0]),
    "List[int]": ("int64", lambda array, _: array.tolist()),
    "List[float]": ("float64", lambda array, _: array.tolist()),
    "List[bool]": ("bool", lambda array, _: array.tolist()),
    "List[str]": ("object", texts_in),
}
"""By TorchScript's type, the dtype of an input, and what makes it such a value, with its name."""


def script_function(path: Path, declared: Mapping[str, TensorSpec], device: torch.device) -> Function:
    """``forward`` of the model at ``path``, whose outputs are found by calling it.

    Raises `InvalidOptions`, `LoadFailed`, or an error of PyTorch.
    """
    module = _loaded(path, device).eval()
    if "forward" not in module._c._method_names():
        raise LoadFailed("it has no method forward; save a module that has one")
    forward = module._c._get_method("forward")  # calling the module itself takes longer
    parameters = forward.schema.arguments[1:]
    names = [parameter.name for parameter in parameters]
    if unknown := [name for name in declared if name not in names]:
        problem = f"inputs names {unknown[0]!r}, and the arguments of forward are {', '.join(names)}"
        raise InvalidOptions(problem)
    examples = {} if declared else _examples(path)
    specs = [spec for parameter in parameters if (spec := _spec(parameter, {**examples, **declared}))]
    written = _written_inputs(module)
    arguments = [_argument(parameter, device, is_written=parameter.name in written) for parameter in parameters]
    outputs: Sequence[TensorSpec | None] = _tried_outputs(module, specs, arguments)
    if examples:  # of other sizes nothing is known
        specs = [_of_any_size(spec, examples) for spec in specs]
        outputs = [spec and _of_any_size(spec, {}) for spec in outputs]
    places = [place for place, spec in enumerate(outputs) if spec]
    return Function(Signature(specs, filter(None, outputs)), arguments, lambda given: leaves(forward(*given)), places)


def _loaded(path: Path, device: torch.device, **given: bool) -> Any:
    with warnings.catch_warnings():  # PyTorch would have people export their models instead
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        return torch.jit.load(path, map_location=device, **given)


def _examples(path: Path) -> dict[str, TensorSpec]:
    """The tensors with which the model was traced, as far as the file has them."""
    if not torch._C.PyTorchFileReader(os.fspath(path)).has_record("traced_inputs.pkl"):
        return {}
    graph = _loaded(path, torch.device("cpu"), _restore_shapes=True).graph  # for these shapes alone: it never runs
    types = {value.debugName().partition(".")[0]: value.type() for value in graph.inputs()}
    return {
        name: TensorSpec(name, outer_dtype(name, kind.dtype()), kind.sizes())
        for name, kind in types.items()
        if kind.kind() == "TensorType" and kind.dtype() and kind.sizes() is not None
    }


def _spec(parameter: Any, tensors: Mapping[str, TensorSpec]) -> TensorSpec | None:
    """The input for an argument of ``forward``; ``None`` where its default has to do. Raises `LoadFailed`."""
    name, kind = parameter.name, _kind(parameter)
    optional = kind != str(parameter.type) or parameter.has_default_value()
    if kind in _VALUES:
        return TensorSpec(name, _VALUES[kind][0], [None] if kind.startswith("List") else [], optional=optional)
    if kind == "Tensor" and name in tensors:
        return TensorSpec(name, tensors[name].dtype, tensors[name].shape, optional=optional)
    if optional:
        return None
    if kind == "Tensor":
        raise LoadFailed(
            f"the file does not say of which dtype and shape the input {name!r} is; give all tensors in the option "
            f'inputs, such as [{{name = "{name}", dtype = "float32", shape = ["batch", 4]}}] in [options] of model.toml'
        )
    raise LoadFailed(
        f"the argument {name!r} of forward is a {kind}; wrap the model in a module whose forward takes tensors, "
        "numbers, texts, or lists of numbers or texts"
    )


def _kind(parameter: Any) -> str:
    """The type of an argument without ``Optional``."""
    kind = str(parameter.type)
    return kind[len("Optional[") : -1] if kind.startswith("Optional[") else kind


def _argument(parameter: Any, device: torch.device, *, is_written: bool) -> Argument:
    name, kind = parameter.name, _kind(parameter)
    read = (lambda array: _VALUES[kind][1](array, name)) if kind in _VALUES else reader(device, is_written=is_written)
    return Argument(name, read, parameter.default_value if parameter.has_default_value() else None)


def _written_inputs(module: Any) -> list[str]:
    """The arguments into which the model may write."""
    graph = module.inlined_graph
    aliases = graph.alias_db()
    return [value.debugName().partition(".")[0] for value in graph.inputs() if aliases.has_writers(value)]


def _tried_outputs(
    module: Any, specs: Sequence[TensorSpec], arguments: Sequence[Argument]
) -> Sequence[TensorSpec | None]:
    """The outputs of ``forward``. Raises `LoadFailed` where calls change the model."""
    forward = module._c._get_method("forward")
    before = _state(module)
    outputs = tried_outputs(specs, arguments, lambda given: forward(*given))
    if changed := [name for name, state in _state(module).items() if before[name] != state]:
        raise LoadFailed(
            f"each call changes {changed[0]!r} in it, so that an answer would depend on earlier calls; save a model "
            "without such a state, whose inputs and outputs have it"
        )
    return outputs


def _state(module: Any) -> dict[str, tuple[int, int]]:
    return {name: (tensor.data_ptr(), tensor._version) for name, tensor in module.state_dict(keep_vars=True).items()}


def _of_any_size(spec: TensorSpec, examples: Mapping[str, TensorSpec]) -> TensorSpec:
    example = examples.get(spec.name)
    description = f"traced with {shape_text(example.shape)}" if example else ""
    sizes = [None] * len(spec.shape or ())
    return TensorSpec(spec.name, spec.dtype, sizes, optional=spec.optional, description=description)

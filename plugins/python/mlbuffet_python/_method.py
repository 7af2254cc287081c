"""A marked method as a signature, and its calls."""

import inspect
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import ParameterSpec, Signature, Tensors, TensorSpec
from mlbuffet_python import TensorType
from mlbuffet_python._values import given, returned

ONLY_OUTPUT = "output"


class Method:
    """A bound method that is marked with ``@signature``. Creating it raises `LoadFailed`."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._function = function
        _check_kind(name, function)
        try:
            self._describe(inspect.signature(function, eval_str=True))
        except (NameError, TypeError, ValueError) as error:
            raise self._wrong(f"is annotated wrongly: {error}") from error

    def _describe(self, declared: inspect.Signature) -> None:
        self._inputs: dict[str, TensorType] = {}
        self._outputs = self._output_types(declared.return_annotation)
        self._is_single = isinstance(declared.return_annotation, TensorType)
        parameters: dict[str, ParameterSpec] = {}
        specs = []
        for argument in declared.parameters.values():
            if argument.kind not in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY):
                raise self._wrong(f"takes {argument.name!r} not by its name; leave out '*' and '/'")
            if isinstance(argument.annotation, TensorType):
                self._inputs[argument.name] = argument.annotation
                specs.append(self._input(argument))
            else:
                parameters[argument.name] = self._parameter(argument)
        outputs = [TensorSpec(output, kind.dtype, kind.shape) for output, kind in self._outputs.items()]
        description = (inspect.getdoc(self._function) or "").partition("\n")[0]
        self.signature = Signature(specs, outputs, parameters=parameters, description=description)

    def __call__(self, inputs: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """What the method returns, as its annotations say."""
        arguments = {name: given(name, self._inputs[name], array) for name, array in inputs.items()}
        result = self._function(**arguments, **parameters)
        if self._is_single:
            result = {ONLY_OUTPUT: result}
        if not isinstance(result, Mapping) or result.keys() != self._outputs.keys():
            came = f"a dict of {sorted(result)}" if isinstance(result, Mapping) else type(result).__name__
            raise TypeError(f"it returned {came}, and its annotation says a dict of {sorted(self._outputs)}")
        return {name: returned(name, kind, result[name]) for name, kind in self._outputs.items()}

    def _output_types(self, annotation: Any) -> Mapping[str, TensorType]:
        types = {ONLY_OUTPUT: annotation} if isinstance(annotation, TensorType) else annotation
        if isinstance(types, dict) and types and all(isinstance(kind, TensorType) for kind in types.values()):
            return types
        raise self._wrong('does not say what it returns; annotate it as -> Float32["batch"], or -> {"name": ...}')

    def _input(self, argument: inspect.Parameter) -> TensorSpec:
        if argument.default is not None and argument.default is not argument.empty:
            raise self._wrong(f"has a default for the input {argument.name!r}; None says that it may be left out")
        kind = argument.annotation
        return TensorSpec(argument.name, kind.dtype, kind.shape, optional=argument.default is None)

    def _parameter(self, argument: inspect.Parameter) -> ParameterSpec:
        name, default, kind = argument.name, argument.default, argument.annotation
        if get_origin(kind) in (Union, UnionType):
            kind = self._only_kind(name, [one for one in get_args(kind) if one is not NoneType])
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        kind = type(choices[0]) if choices else kind
        if kind not in (float, int, bool, str):
            raise self._wrong(f'does not say what {name!r} is; annotate it as in {name}: Float32["batch", 4]')
        if default is argument.empty:
            raise self._wrong(f"takes the parameter {name!r} without a default; give it one, or None")
        return ParameterSpec(kind, default=default, choices=choices)

    def _only_kind(self, name: str, kinds: list[Any]) -> Any:
        if len(kinds) > 1:
            them = " or ".join(getattr(one, "__name__", str(one)) for one in kinds)
            raise self._wrong(f"takes the parameter {name!r} as {them}; a parameter has one type, beside None")
        return kinds[0]

    def _wrong(self, problem: str) -> LoadFailed:
        return LoadFailed(f"the method {self._name!r} {problem}")


def _check_kind(name: str, function: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise LoadFailed(f"the method {name!r} yields its answer in pieces, which is not served; return it as a whole")
    if inspect.iscoroutinefunction(function):
        raise LoadFailed(f"the method {name!r} is a coroutine; write it as def: calls run in threads, and may wait")
    if inspect.ismethod(function):
        first = next(iter(inspect.signature(function.__func__).parameters.values()), None)
        if first is None or first.annotation is not first.empty:
            raise LoadFailed(f"the method {name!r} has no self before its inputs; write it as def {name}(self, ...)")

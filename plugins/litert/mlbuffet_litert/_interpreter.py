"""An interpreter of a model, and its functions by the names of their signatures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from mlbuffet.errors import LoadFailed, reason_in
from mlbuffet.tensors import DEFAULT_SIGNATURE

Details = Mapping[str, Mapping[str, Any]]

_REASONS = {
    r"Select TensorFlow op|Flex": (
        "it has operators of TensorFlow (SELECT_TF_OPS), which LiteRT does not bring; convert it with TFLITE_BUILTINS "
        "alone, or serve the SavedModel"
    ),
    r"Encountered unresolved custom op: (\w+)": (
        "it has the operator {0}, which LiteRT does not bring; convert the model without it"
    ),
    r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'": (
        "it has the operator {0} in version {1}, which this LiteRT does not know; install a newer ai-edge-litert"
    ),
}


@dataclass(frozen=True, slots=True)
class Function:
    """One function of an interpreter: what it takes and gives, and how it is called with arrays by name."""

    inputs: Details
    outputs: Details
    call: Callable[..., Mapping[str, Any]]


def functions(content: bytes, num_threads: int) -> dict[str, Function]:
    """The functions of a new interpreter, of which only one may run at a time. Raises `LoadFailed`."""
    try:
        interpreter = Interpreter(model_content=content, num_threads=num_threads)
        interpreter.allocate_tensors()
        names = list(interpreter.get_signature_list())
        return {name: _of_signature(interpreter, name) for name in names} or {DEFAULT_SIGNATURE: _of_graph(interpreter)}
    except (RuntimeError, ValueError) as error:  # one of names that are not UTF-8 among them
        raise _load_failure(str(error)) from error


def _of_signature(interpreter: Interpreter, name: str) -> Function:
    runner = interpreter.get_signature_runner(name)
    # not public; a call would do it, and variables can only be reset where all signatures are ready
    runner._interpreter_wrapper.AllocateTensors(runner._subgraph_index)

    def call(**arrays: Any) -> Mapping[str, Any]:
        interpreter.reset_all_variables()  # of another call
        answer: Mapping[str, Any] = runner(**arrays)
        return answer

    return Function(runner.get_input_details(), runner.get_output_details(), call)


def _of_graph(interpreter: Interpreter) -> Function:
    """The graph of a model without signatures."""
    inputs = {details["name"]: details for details in interpreter.get_input_details()}
    outputs = {details["name"]: details for details in interpreter.get_output_details()}

    def call(**arrays: Any) -> dict[str, Any]:
        for name, array in arrays.items():
            interpreter.resize_tensor_input(inputs[name]["index"], array.shape)
        interpreter.allocate_tensors()
        interpreter.reset_all_variables()
        for name, array in arrays.items():
            interpreter.set_tensor(inputs[name]["index"], array)
        interpreter.invoke()
        return {name: interpreter.get_tensor(details["index"]) for name, details in outputs.items()}

    return Function(inputs, outputs, call)


def _load_failure(text: str) -> LoadFailed:
    """The error of LiteRT as a sentence."""
    unknown = "LiteRT cannot read it: it is damaged, cut short, or made for a newer version; copy or convert it again"
    return LoadFailed(reason_in(text, _REASONS) or unknown, detail=text)

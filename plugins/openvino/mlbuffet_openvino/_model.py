"""A loaded model: its signature and its predictions."""

import re
from pathlib import Path

from mlbuffet.errors import InvalidInput
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, shapes_text
from mlbuffet_openvino._network import Network
from mlbuffet_openvino._options import Options
from mlbuffet_openvino._ports import into_tensor, out_of_tensor, specs


class OpenVINOModel:
    """The handle of the model in ``file``. Creating it raises `InvalidOptions` or `LoadFailed`."""

    def __init__(self, file: Path, options: Options) -> None:
        self._network = Network(file, options)
        compiled = self._network.requests.compiled
        inputs, outputs = specs(compiled.inputs), specs(compiled.outputs)
        self.signatures = Signatures({DEFAULT_SIGNATURE: Signature(inputs, outputs)})
        self._into = [(spec.name, into_tensor(spec, port)) for spec, port in zip(inputs, compiled.inputs, strict=True)]
        self._out = [(spec.name, out_of_tensor(spec)) for spec in outputs]
        self.concurrency = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def predict(self, inputs: Tensors) -> Tensors:
        """All outputs by name. Raises `InvalidInput`, or an error of OpenVINO."""
        if self._network.is_dynamic:
            self._network.check_shapes(tuple(inputs[name].shape for name, _ in self._into))
        tensors = [convert(inputs[name]) for name, convert in self._into]
        try:
            values = self._network.requests.infer(tensors)
        except RuntimeError as error:
            if self._network.is_dynamic and (failure := _run_failure(str(error), inputs)):
                raise failure from error
            raise
        return {name: convert(value) for (name, convert), value in zip(self._out, values, strict=True)}


def _run_failure(text: str, inputs: Tensors) -> InvalidInput | None:
    """An error of a run as an `InvalidInput`, where an operator refuses what comes of the inputs."""
    if not (match := re.search(r"(\w+) node with name", text)):
        return None
    problem = f"the model's operator {match[1]} cannot take what comes of the inputs {shapes_text(inputs)}"
    return InvalidInput(f"{problem}; sizes do not go together", detail=text)

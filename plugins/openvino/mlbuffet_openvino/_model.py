"""A loaded model: its signature and its predictions."""

from pathlib import Path

from mlbuffet.errors import InvalidInput
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors
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
            if "shape_inference" not in str(error):
                raise
            problem = "the values of the inputs lead to shapes that do not go together"
            raise InvalidInput(problem, detail=str(error)) from error
        return {name: convert(value) for (name, convert), value in zip(self._out, values, strict=True)}

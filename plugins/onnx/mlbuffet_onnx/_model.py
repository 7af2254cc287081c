"""A loaded model: its signature, its predictions, and what is odd about it."""

import logging
from pathlib import Path

from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, shape_text
from mlbuffet_onnx._failures import ERRORS, run_failure
from mlbuffet_onnx._graph import Graph, read_graph
from mlbuffet_onnx._libraries import find_libraries
from mlbuffet_onnx._onnxruntime import onnxruntime
from mlbuffet_onnx._options import Options
from mlbuffet_onnx._ports import input_port, optional_ports, output_port
from mlbuffet_onnx._session import create_session, runner

logger = logging.getLogger("mlbuffet_onnx")

_SHOWN = 5


class OnnxModel:
    """The handle of the model in ``file``. Creating it raises `InvalidOptions` or `LoadFailed`."""

    def __init__(self, file: Path, options: Options, options_folder: Path | None) -> None:
        libraries = find_libraries(options.custom_op_libraries, file.parent, options_folder)
        session = create_session(file, options, libraries)
        graph = read_graph(file)
        inputs = [input_port(node, graph) for node in session.get_inputs()]
        outputs = [output_port(node, graph) for node in session.get_outputs()]
        inputs += optional_ports(session.get_overridable_initializers(), graph, outputs)
        signature = Signature([port.spec for port in inputs], [port.spec for port in outputs])
        self.signatures = Signatures({DEFAULT_SIGNATURE: signature})
        self._file = file
        self._run = runner(session, inputs, outputs)
        self._names = tuple(signature.outputs)
        self._sizes = [
            (position, axis, size)
            for position, port in enumerate(outputs)
            for axis, size in enumerate(port.spec.sizes or ())
            if size is not None
        ]
        self._noted: set[str] = set()
        for oddity in _oddities(session, graph, options):
            logger.warning("'%s': %s", file, oddity)

    def predict(self, inputs: Tensors) -> Tensors:
        """All outputs by name. Raises `InvalidInput`, or an error of onnxruntime."""
        try:
            arrays = self._run(inputs)
        except ERRORS as error:
            if failure := run_failure(error, inputs):
                raise failure from error
            raise
        for position, axis, size in self._sizes:
            shape = arrays[position].shape
            if len(shape) <= axis or shape[axis] != size:
                self._note(self._names[position], shape)
        return dict(zip(self._names, arrays, strict=True))

    def _note(self, name: str, shape: tuple[int, ...]) -> None:
        """An output that is not as declared, once; onnxruntime would write a line to stderr for each call."""
        if name not in self._noted:
            self._noted.add(name)
            declared = self.signatures[DEFAULT_SIGNATURE].outputs[name].shape
            logger.warning(
                "'%s': its output %r has shape %s and is declared as %s; more of the kind will not be logged",
                *(self._file, name, shape_text(shape), shape_text(declared)),
            )


def _oddities(session: onnxruntime.InferenceSession, graph: Graph, options: Options) -> list[str]:
    """Warnings about a model that works; onnxruntime's own would go to stderr."""
    oddities = []
    if graph.unused:
        oddities.append(f"no node uses the initializers {_listed(graph.unused)}; export the model without them")
    if weights := [node.name for node in session.get_overridable_initializers()]:
        oddities.append(
            f"the initializers {_listed(weights)} are declared as inputs, too, which keeps them from being optimized; "
            "they are optional inputs in the signature, and without them the values in the file count"
        )
    requested = [provider if isinstance(provider, str) else provider[0] for provider in options.providers or []]
    if missing := [name for name in requested if name not in session.get_providers()]:
        oddities.append(f"{_listed(missing)} could not be started; it runs on {_listed(session.get_providers())}")
    return oddities


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"

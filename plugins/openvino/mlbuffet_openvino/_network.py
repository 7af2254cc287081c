"""A network: read from its file, compiled, and held against the shapes of a call."""

import re
import threading
from pathlib import Path
from typing import Any

from mlbuffet.errors import InvalidInput, InvalidOptions, LoadFailed, MLBuffetError, reason_in
from mlbuffet.tensors import shape_text
from mlbuffet_openvino._openvino import openvino
from mlbuffet_openvino._options import Options
from mlbuffet_openvino._requests import Requests

Shapes = tuple[tuple[int, ...], ...]

_THIS = f"OpenVINO {openvino.__version__.partition('-')[0]}"
_NO_DEVICE = re.compile(r"is not registered|Cannot load library|[Nn]o available device|device id")
_KNOWN_SHAPES = 10_000
_UNKNOWN_OPERATOR = (
    "it has an operator that {this} does not know: {0}; install a newer OpenVINO, or convert the model again"
)
_REASONS = {
    r"Empty weights data|bin file cannot be found": (
        "its weights are missing: put the .bin file that was saved with it into its folder, under the same name"
    ),
    r"Incorrect weights in bin file": (
        "its .bin file is cut short, or belongs to another model; copy the .xml and the .bin file again, together"
    ),
    r"Cannot create (\S+) layer .* unsupported opset": _UNKNOWN_OPERATOR,
    r"No conversion rule found for operations?: ([^\n]+)": _UNKNOWN_OPERATOR,
}


class Network:
    """The model in ``file``. Creating it raises `InvalidOptions` or `LoadFailed`."""

    def __init__(self, file: Path, options: Options) -> None:
        self._core = openvino.Core()
        self._device, self._settings = options.device, _settings(options)
        try:
            # not as memory that is mapped: the files may be replaced while the model answers
            self._model = self._core.read_model(file, config={"ENABLE_MMAP": False})
        except RuntimeError as error:
            raise _read_failure(str(error)) from error
        try:
            self.requests = Requests(self._compile)
        except RuntimeError as error:
            raise self._compile_failure(str(error)) from error
        self._known: set[Shapes] = set()
        self._lock = threading.Lock()
        self.is_dynamic: bool = self._model.is_dynamic()

    def _compile(self) -> Any:
        return self._core.compile_model(self._model, self._device, self._settings)

    def check_shapes(self, shapes: Shapes) -> None:
        """Raise `InvalidInput` where the sizes of inputs do not go together.

        OpenVINO would find that out while it computes, and answer later calls with the same error, of whomever.
        """
        if shapes in self._known:
            return
        with self._lock:
            self._infer_shapes(shapes)
            if len(self._known) >= _KNOWN_SHAPES:
                self._known.clear()
            self._known.add(shapes)

    def _infer_shapes(self, shapes: Shapes) -> None:
        ports = self.requests.compiled.inputs
        sizes = [openvino.PartialShape(list(shape)) for shape in shapes]
        problem = None
        if all(port.partial_shape.compatible(size) for port, size in zip(ports, sizes, strict=True)):
            try:
                self._model.clone().reshape(dict(enumerate(sizes)))
                return
            except RuntimeError as error:
                problem = str(error)
        came = [f"{port.any_name!r} of shape {shape_text(shape)}" for port, shape in zip(ports, shapes, strict=True)]
        raise InvalidInput(f"the model cannot take {', '.join(came)}: sizes do not go together", detail=problem)

    def _compile_failure(self, text: str) -> MLBuffetError:
        if _NO_DEVICE.search(text):
            devices = ", ".join(self._core.available_devices)
            return InvalidOptions(f"there is no device {self._device!r} here, which has {devices}")
        reason = (
            f"{_THIS} cannot run it on the device {self._device!r}; choose another, or convert the model with other "
            "types of tensors or other operators"
        )
        return LoadFailed(reason, detail=text)


def _settings(options: Options) -> dict[str, Any]:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": options.performance_hint.upper()}
    if options.inference_num_threads:
        settings["INFERENCE_NUM_THREADS"] = options.inference_num_threads
    if options.inference_precision:
        settings["INFERENCE_PRECISION_HINT"] = options.inference_precision
    return settings


def _read_failure(text: str) -> LoadFailed:
    """The error of OpenVINO as a sentence."""
    unknown = (
        f"{_THIS} cannot read it: it is damaged, cut short, or made by a newer version; copy it again, or convert the "
        "original model again"
    )
    return LoadFailed(reason_in(text, _REASONS, this=_THIS) or unknown, detail=text)

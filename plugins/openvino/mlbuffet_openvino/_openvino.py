"""OpenVINO, imported without its telemetry."""

import sys

_TELEMETRY = "openvino_telemetry"
_hidden = _TELEMETRY not in sys.modules
if _hidden:  # OpenVINO does without where this import fails; with it, importing OpenVINO reports to its maker
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]

try:
    import openvino
finally:
    if _hidden:
        del sys.modules[_TELEMETRY]

__all__ = ["openvino"]

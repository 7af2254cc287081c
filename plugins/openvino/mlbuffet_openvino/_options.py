"""The options of the runtime."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from mlbuffet.errors import InvalidOptions


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be chosen when a model is loaded; the names are OpenVINO's."""

    device: str = "CPU"
    """Where the model runs: a device of this machine, or what chooses one, such as AUTO or HETERO:GPU,CPU."""
    performance_hint: Literal["latency", "throughput"] = "latency"
    """Whether all cores compute one call, or several calls at once."""
    inference_num_threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Threads of all calls together; 0: one for each core."""
    inference_precision: Literal["f32", "bf16", "f16"] | None = None
    """What floats are computed in; None: as OpenVINO chooses for the device."""


VALID_OPTIONS = Options.__struct_fields__


def parse_options(options: Mapping[str, Any]) -> Options:
    """``options`` as `Options`, or `InvalidOptions`."""
    if unknown := [name for name in options if name not in VALID_OPTIONS]:
        raise InvalidOptions(f"there is no option {', '.join(map(repr, unknown))}", VALID_OPTIONS)
    try:
        return msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        raise InvalidOptions(str(error), VALID_OPTIONS) from None

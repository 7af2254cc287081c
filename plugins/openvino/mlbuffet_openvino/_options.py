"""The options of the runtime."""

from typing import Annotated, Literal

import msgspec


class Options(msgspec.Struct, frozen=True):
    """What may be chosen when a model is loaded; the names are OpenVINO's."""

    device: str = "CPU"
    """Where the model runs: a device of this machine, or what chooses one, such as AUTO or HETERO:GPU,CPU."""
    performance_hint: Literal["latency", "throughput"] = "latency"
    """Whether all cores compute one call, or several calls at once."""
    inference_num_threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Threads of all calls together; 0: one for each core."""
    inference_precision: Literal["f32", "bf16", "f16"] | None = None
    """What floats are computed in; None: as OpenVINO chooses for the device."""

"""The latency of each model over its load, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from mlbuffet.planning.picture import write
from mlbuffet.planning.plan import Measured, ModelPlan, curve


def draw(plans: Sequence[ModelPlan], measured: Mapping[str, Measured], limit: float | None, picture: Path) -> None:
    """Write one panel a model: what is expected of the processes that were chosen, and what one process did here."""
    figure, panels = plt.subplots(len(plans), 1, figsize=(8, 3.2 * len(plans)), squeeze=False)
    for one, panel in zip(plans, panels[:, 0], strict=True):
        panel.set_title(one.model, loc="left", fontsize=10)
        panel.set_xlabel("calls a second", fontsize=8)
        panel.set_ylabel("ms, of 99 in 100 calls", fontsize=8)
        panel.tick_params(labelsize=8)
        single = measured[one.model].one_core
        points = single.loads
        panel.plot(
            [point.rate for point in points], [point.p99 * 1000 for point in points], "o", label="one process, measured"
        )
        if one.choice is not None:
            chosen = single if one.choice.cores == single.cores else measured[one.model].all_cores
            rates, latencies = zip(*curve(chosen, one.choice), strict=True)
            panel.plot(rates, [took * 1000 for took in latencies], label=f"{one.choice.replicas} processes, expected")
        panel.axvline(one.rate, linestyle=":", color="gray", label="the load asked for")
        if limit is not None:
            panel.axhline(limit * 1000, linestyle="--", color="gray", label="the limit")
        panel.set_yscale("log")
        panel.legend(fontsize=8)
    write(figure, picture)

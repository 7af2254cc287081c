"""Rounds that alternate between contenders, so that a machine that drifts hurts them all alike."""

from collections.abc import Callable, Mapping

from rich.progress import Progress

from figures import Key, Round

Measure = Callable[[], Round]


def alternate(measures: Mapping[Key, Measure], rounds: int, progress: Progress) -> dict[Key, list[Round]]:
    """A B C A B C ...: every measure once a round; the round before the first only warms everything up."""
    task = progress.add_task("warming up", total=(rounds + 1) * len(measures))
    found: dict[Key, list[Round]] = {key: [] for key in measures}
    for number in range(rounds + 1):
        for key, measure in measures.items():
            progress.update(task, description=f"{key.contender}, {key.setting}" if key.setting else key.contender)
            figures = measure()
            if number:
                found[key].append(figures)
            progress.advance(task)
    progress.remove_task(task)
    return found

"""Measures MLBuffet beside its peers: `make bench`, with QUICK=1, CASES="onnx overload" or PEERS="KServe,Triton"."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import in_process.batching
import in_process.isolation
import in_process.lag
import in_process.loading
import in_process.memory
import in_process.observation
import in_process.predict
import in_process.predict_jax
import in_process.predict_networks
import in_process.predict_python
import in_process.predict_sklearn
import in_process.predict_torch
import in_process.predict_trees
import in_process.request
import serving.cases
import serving.grpc_cases
import serving.overload
import serving.ray_cases
import serving.startup
import serving.threads
from artifacts import BUILD, ROOT
from case import Case, Plan
from figures import Outcome
from machine import describe
from report import as_table, not_measured, targets_table, write_page
from results import save
from rounds import alternate

CASES = (
    *serving.cases.CASES,
    *serving.grpc_cases.CASES,
    serving.overload.CASE,
    serving.ray_cases.CASE,
    *serving.startup.CASES,
    *serving.threads.CASES,
    *in_process.predict.CASES,
    *in_process.predict_sklearn.CASES,
    *in_process.predict_jax.CASES,
    *in_process.predict_torch.CASES,
    *in_process.predict_trees.CASES,
    *in_process.predict_networks.CASES,
    *in_process.predict_python.CASES,
    in_process.request.CASE,
    in_process.batching.CASE,
    *in_process.isolation.CASES,
    in_process.observation.CASE,
    in_process.memory.CASE,
    in_process.lag.CASE,
    in_process.loading.CASE,
)
RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Measure what the command line asks for."""
    arguments = _parsed()
    chosen = [case for case in CASES if _is_chosen(case, arguments)]
    folder = BUILD / "results" if arguments.quick or arguments.peers else RESULTS
    console, outcomes = Console(), dict[str, Outcome]()
    for case in chosen:
        outcomes[case.name] = _measured(case, arguments, console)
        save(outcomes[case.name], describe(), folder)
        console.print(as_table(outcomes[case.name]), end="\n\n")
    if (targets := targets_table(outcomes)).row_count:
        console.print(targets)
    console.print("\nNot measured", *not_measured(outcomes, CASES), sep="\n  ", highlight=False, markup=False)
    write_page(folder)
    from plot import draw  # matplotlib takes a second

    draw(folder, folder / "servers.png")
    console.print(f"\nThe results are in {folder.relative_to(ROOT)}", highlight=False)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few cases, few rounds, no other servers")
    names = [case.name for case in CASES]
    parser.add_argument("--cases", nargs="+", choices=names, metavar="CASE", help=f"some of: {', '.join(names)}")
    parser.add_argument("--peers", help="other servers, separated by commas; else all of them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="how long a round of load lasts")
    return parser.parse_args()


def _is_chosen(case: Case, arguments: argparse.Namespace) -> bool:
    if arguments.cases:
        return case.name in arguments.cases
    return case.quick if arguments.quick else not case.asked_for


def _measured(case: Case, arguments: argparse.Namespace, console: Console) -> Outcome:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        preparing = progress.add_task(case.name, total=None)
        plan = Plan(
            rounds=min(3 if arguments.quick else arguments.rounds, case.rounds or arguments.rounds),
            seconds=1 if arguments.quick else arguments.seconds,
            peers=_peers(arguments),
            tell=lambda what: progress.update(preparing, description=f"{case.name}: {what}"),
        )
        with case.prepare(plan) as field:
            progress.update(preparing, visible=False)
            rounds = alternate(field.measures, plan.rounds, progress)
    return Outcome(case=case.name, title=case.title, unit=case.unit, rounds=rounds, absent=field.absent)


def _peers(arguments: argparse.Namespace) -> frozenset[str] | None:
    if arguments.peers is not None:
        return frozenset(name.strip().lower() for name in arguments.peers.split(","))
    return frozenset() if arguments.quick else None


if __name__ == "__main__":
    main()

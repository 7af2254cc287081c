"""Models and runtimes as tables for people, or as JSON for machines."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import orjson
from msgspec import to_builtins
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlbuffet.cli.logs import PROGRESS
from mlbuffet.cli.setting_sources import Setting
from mlbuffet.conversion import dtype_name
from mlbuffet.description import described
from mlbuffet.errors import reason_of
from mlbuffet.hookspecs import CONTRACT
from mlbuffet.loading import Scan
from mlbuffet.model import Model
from mlbuffet.runtimes import Runtimes
from mlbuffet.tensors import Signature, TensorSpec, shape_text

if TYPE_CHECKING:
    from mlbuffet.cli.conversion import Report
    from mlbuffet.cli.tuning import Tuning
    from mlbuffet.comparison import Difference
    from mlbuffet.planning.plan import Measured, ModelPlan
    from mlbuffet.repository import ModelVersion

NOTABLE = 0.1  # seconds that an import takes at least to be shown
SHOWN_LABELS = 5
SHOWN_TRIALS = 9


def show_runtimes(runtimes: Runtimes, *, as_json: bool) -> None:
    """The runtimes that can be used and, with their reason, the plugins that cannot."""
    working = [
        {"name": one.name, "distribution": one.distribution, "version": one.version, "accepts": one.description}
        for one in runtimes
    ]
    broken = [{"name": name, "reason": reason_of(error)} for name, error in runtimes.broken.items()]
    contract = ".".join(map(str, CONTRACT))
    if as_json:
        print_json({"contract": contract, "runtimes": working, "broken": broken})
        return
    table = _table("runtime", "distribution", "version", "accepts")
    for row in working:
        table.add_row(*(escape(value or "") for value in row.values()))
    for one in broken:
        table.add_row(f"[red]{escape(one['name'])}", "[red]broken", "", f"[red]{escape(one['reason'])}")
    console = _console()
    console.print(table)
    console.print(f"Version {contract} of the contract with plugins.")
    if not working:
        console.print(
            "There is no runtime to use. One comes with, for instance: pip install mlbuffet-onnx, which is "
            "pip install ./plugins/onnx in a clone of MLBuffet"
        )


def show_risks(found: Scan, *, as_json: bool) -> None:
    """What an artifact can do besides computing."""
    if as_json:
        risks = [risk._asdict() for risk in found.risks]
        print_json({"path": str(found.path), "runtime": found.runtime, "risks": risks})
        return
    if not found.risks:
        print(f"{found.runtime}: nothing in it runs code of its maker, or reaches files or other machines")
        return
    table = _table("it reaches", "by what")
    for risk in found.risks:
        table.add_row(risk.capability, escape(risk.text))
    _console().print(table)


def show_model(model: Model, *, as_json: bool) -> None:
    """The runtime and the signatures of a model."""
    signatures = model.signatures
    if as_json:
        about = {"path": str(model.path), "runtime": model.runtime.name, "platform": model.runtime.platform}
        default = {"default": signatures.default, "default_reason": signatures.default_reason}
        print_json({**about, **default, "signatures": described(signatures)})
        return
    table = _table("signature", "", "name", "dtype", "shape", "")
    for name, signature in signatures.items():
        title = f"{escape(name)}{' (default)' if name == signatures.default else ''}"
        if signature.method != "predict":
            title += f"\n{signature.method}"
        if signature.description:
            title += f"\n{escape(signature.description)}"
        for variant in signature.variants or (signature,):
            for kind, specs in (("input", variant.inputs), ("output", variant.outputs)):
                for spec in specs.values():
                    shape = escape(shape_text(spec.shape))
                    table.add_row(title, kind, escape(spec.name), dtype_name(spec.dtype), shape, escape(_remarks(spec)))
                    title = ""
            title = "or"
        _add_parameters(table, signature)
        table.add_section()
    console = _console()
    console.print(f"[bold]{escape(str(model.path))}[/] on the runtime [bold]{escape(model.runtime.name)}[/]")
    console.print(table)
    reason = signatures.default_reason
    if signatures.default is None:
        console.print(f"There is no default signature: {escape(reason or 'a call must name one.')}", soft_wrap=True)
    elif reason:
        console.print(f"The default is {escape(repr(signatures.default))}: {escape(reason)}", soft_wrap=True)


@contextmanager
def telling(*, hidden: bool) -> Iterator[Callable[[str], None]]:
    """Show on stderr what is being done; on a terminal with a spinner, elsewhere in lines."""
    console = Console(stderr=True, quiet=hidden)
    if console.is_terminal:
        with console.status("") as status:
            yield lambda text: status.update(escape(text))
    else:
        yield lambda text: console.print(escape(text), soft_wrap=True)


def show_plan(
    plans: "Sequence[ModelPlan]", measured: "Mapping[str, Measured]", limit: float | None, *, as_json: bool
) -> None:
    """What each model takes, and what the servers in front of all take."""
    front = sum(one.front for one in plans)
    cores = sum(one.choice.total_cores for one in plans if one.choice)
    if as_json:
        models = [{**to_builtins(one), "measured": to_builtins(measured[one.model])} for one in plans]
        print_json({"p99": limit, "models": models, "front_cores": front, "model_cores": cores})
        return
    table = _table(
        "model", "calls/s", "alone p50/p99", "batches", "replicas", "cores each", "memory each", "p99 expected"
    )
    for one in plans:
        alone = f"{one.alone.p50 * 1000:.3g}/{one.alone.p99 * 1000:.3g} ms"
        cells = [escape(one.model), f"{one.rate:g}", alone]
        if one.choice is None:
            table.add_row(*cells, f"{one.batch_gain:.2g} x", "[red]none", "", _mebibytes(one.memory), "")
            continue
        batches = f"{one.batch_gain:.2g} x" + (f", of {one.choice.rows}" if one.choice.rows > 1 else "")
        wanted = [batches, str(one.choice.replicas), str(one.choice.cores), _mebibytes(one.memory)]
        table.add_row(*cells, *wanted, f"{one.choice.p99 * 1000:.3g} ms")
    console = _console()
    console.print(table)
    for one in plans:
        if one.choice is None:
            console.print(f"[red]{escape(one.model)} cannot keep the limit: {one.reason}", soft_wrap=True)
        elif one.choice.rows > 1:
            table_of = f"\\[batching] with max_size = {one.choice.rows}"
            console.print(f"{escape(one.model)}: batches pay; write {table_of} into its model.toml", soft_wrap=True)
    console.print(
        f"{cores} cores for the models, and {front:.2g} for the servers in front of them (HTTP and JSON), which may be "
        "the same processes.",
        soft_wrap=True,
    )


def show_tuning(found: "Tuning", file: Path, written: Path | None, *, as_json: bool) -> None:
    """What was tried for a model, and what its ``model.toml`` says now, or would have to."""
    if as_json:
        trials = [{**to_builtins(one), "chosen": one is found.best} for one in found.trials]
        where = None if written is None else str(written)
        about = {"p99": found.limit, "unbatched": found.unbatched, "gain": found.gain}
        print_json({**about, "trials": trials, "changes": found.changes, "written": where})
        return
    console = _console()
    console.print(_trials(found))
    if found.unbatched:
        console.print(f"Calls cannot share a batch: {escape(found.unbatched)}", soft_wrap=True)
    if found.best is None:
        console.print("[red]no setting keeps the limit")
    elif not found.changes:
        console.print("The settings that it has are as good as any that were tried.")
    else:
        than = "which keeps the limit" if found.gain is None else f"{found.gain:.2f} times as many rows a second"
        from mlbuffet.planning.tuning import described as as_words

        console.print(f"The best is {escape(as_words(found.best.setting))}: {than}.", soft_wrap=True)
        console.print(f"{'written to' if written else 'not written to'} [bold]{escape(str(file))}", soft_wrap=True)
        for table, values in found.changes.items():
            lines = "".join(f"\n{key} = {value}" for key, value in values.items())
            console.print(escape(f"[{table}]{lines}"), highlight=False)


def _trials(found: "Tuning") -> Table:
    """The present settings, then those that answer most."""
    table = _table(
        "", "threads", "at once", "batches of", "delay", "alone p50", "callers", "rows/s", "p99", "x present"
    )
    present = found.trials[0]
    rest = sorted(found.trials[1:], key=lambda one: -one.rate(found.limit))[:SHOWN_TRIALS]
    for one in [present, *rest]:
        setting, point = one.setting, one.best(found.limit)
        mark = "[green]best" if one is found.best else "present" if one is present else ""
        cells = [
            mark,
            "" if setting.threads is None else str(setting.threads) if setting.threads > 0 else "all cores",
            str(setting.concurrency),
            str(setting.max_size) if setting.max_size > 1 else "",
            f"{setting.max_delay_ms:g} ms" if setting.max_delay_ms else "",
            f"{one.points[0].p50 * 1000:.3g} ms",
        ]
        if point is None:
            table.add_row(*cells, "", "[red]none", "", "")
            continue
        least = present.rate(found.limit)
        times = f"{point.rate / least:.2f}" if least else ""
        table.add_row(*cells, str(point.callers), f"{point.rate:,.0f}", f"{point.p99 * 1000:.3g} ms", times)
    return table


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def show_versions(
    versions: "list[ModelVersion]", address: str, log: TextIO | None, *, grpc: str | None = None, as_json: bool
) -> None:
    """The served models and the addresses; as a line of ``log`` where the log is JSON."""
    if log is not None:
        from mlbuffet.server.http.log_format import JsonFormatter

        fields = _served(versions, address, grpc)
        record = {"name": PROGRESS, "levelname": "INFO", "msg": f"serving on {address}", "fields": fields}
        print(JsonFormatter().format(logging.makeLogRecord(record)), file=log, flush=True)
        return
    if as_json:
        print_json(_served(versions, address, grpc))
        return
    table = _table("model", "version", "runtime", "state", "loaded in", "signatures")
    for version in versions:
        state = version.state.reported
        if version.state.reported == "READY":
            model = version.model
            names = ", ".join(escape(name) for name in model.signatures)
            cells = [escape(model.runtime.name), f"[green]{state}", f"{version.seconds:.2f} s", names]
        elif version.error is None:
            cells = ["", state, "", escape(version.reason)]
        else:
            cells = ["", f"[red]{state}", f"{version.seconds:.2f} s", "[red]see below"]
        table.add_row(escape(version.name), str(version.version), *cells)
    console = _console()
    console.print(table)
    for version in versions:
        if version.error:
            title = f"{escape(version.name)} (version {version.version})"
            console.print(f"[red]{title}: {escape(str(version.error))}", soft_wrap=True)
    for framework, seconds in _import_seconds(versions).items():
        if seconds >= NOTABLE:
            console.print(f"importing {escape(framework)} took {seconds:.2f} s")
    lines = [] if grpc is None else [f"serving gRPC on [bold]{grpc}[/]"]
    described = "" if address.startswith("unix:") else f"; {address}/docs describes it"
    lines.append(f"serving on [bold]{escape(address)}[/] (Ctrl-C ends it{described})")
    console.print("\n".join(lines), soft_wrap=True)


def show_served(versions: list[dict[str, Any]], *, as_json: bool) -> None:
    """The models of a running server."""
    if as_json:
        print_json({"models": versions})
        return
    table = _table("model", "version", "", "state", "reason")
    for one in versions:
        state = ("[green]" if one["state"] == "READY" else "[red]") + escape(one["state"])
        mark = "default" if one["default"] else ""
        table.add_row(escape(one["name"]), escape(one["version"]), mark, state, escape(one.get("reason", "")))
    _console().print(table)


def show_differences(differences: Sequence["Difference"], *, as_json: bool) -> None:
    """The differences between the outputs of two models."""
    if as_json:
        agree = all(difference.agrees for difference in differences)
        print_json({"agree": agree, "outputs": [asdict(difference) for difference in differences]})
        return
    _console().print(_differences(differences))


def show_conversion(report: "Report", *, as_json: bool) -> None:
    """How far a model and what it was converted to are apart, how long a call of each takes, and what was written."""
    if as_json:
        microseconds = {name: each * 1e6 for name, each in zip(report.runtimes, report.seconds, strict=True)}
        outputs = [asdict(difference) for difference in report.outputs]
        written = str(report.written) if report.written else None
        print_json({"outputs": outputs, "microseconds": microseconds, "written": written})
        return
    table = _table("runtime", "microseconds a call")
    for name, seconds in zip(report.runtimes, report.seconds, strict=True):
        table.add_row(escape(name), f"{seconds * 1e6:.0f}")
    console = _console()
    console.print(_differences(report.outputs))
    console.print(table)
    if report.written is None:
        console.print("[red]nothing is written: outputs differ by more than --atol and --rtol allow")
    else:
        console.print(f"written: [bold]{escape(str(report.written))}", soft_wrap=True)


def _differences(differences: Sequence["Difference"]) -> Table:
    table = _table("output", "of the other", "absolute", "relative", "")
    for one in differences:
        numbers = [f"{number:.2e}" if number is not None else "" for number in (one.absolute, one.relative)]
        verdict = ("[green]agrees" if one.agrees else "[red]differs") + (
            f": {escape(one.reason)}" if one.reason else ""
        )
        table.add_row(escape(one.output), escape(one.other), *numbers, verdict)
    return table


def show_settings(settings: Iterable[Setting], *, as_json: bool) -> None:
    """What counts, and where it was said."""
    if as_json:
        print_json(
            {"settings": {one.key: {"value": one.value, "source": one.source, "place": one.place} for one in settings}}
        )
        return
    table = _table("setting", "value", "from", "")
    for one in settings:
        value = (
            "" if one.value is None else one.value if isinstance(one.value, str) else orjson.dumps(one.value).decode()
        )
        table.add_row(one.key, escape(value), one.source, escape(one.place))
    _console().print(table)


def print_json(value: Any) -> None:
    """``value`` on stdout, as one JSON document."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), flush=True)


def _add_parameters(table: Table, signature: Signature) -> None:
    for name, spec in signature.parameters.items():
        remarks = [] if spec.default is None else [f"default {spec.default!r}"]
        remarks += [spec.description] if spec.description else []
        table.add_row("", "parameter", escape(name), escape(str(spec)), "", escape("; ".join(remarks)))


def _remarks(spec: TensorSpec) -> str:
    """What a tensor has beside name, dtype and shape."""
    remarks = ["optional"] if spec.optional else []
    if spec.labels:
        more = len(spec.labels) - SHOWN_LABELS
        remarks.append(", ".join(spec.labels[:SHOWN_LABELS]) + (f" and {more} more" if more > 0 else ""))
    if spec.description:
        remarks.append(spec.description)
    return "; ".join(remarks)


def _served(versions: "Iterable[ModelVersion]", address: str, grpc: str | None) -> dict[str, Any]:
    rows = []
    for version in versions:
        row: dict[str, Any] = {
            "name": version.name,
            "version": version.version,
            "state": version.state.reported,
            "seconds": version.seconds,
        }
        if version.state.reported == "READY":
            row |= {"runtime": version.model.runtime.name, "signatures": list(version.model.signatures)}
        else:
            row["reason"] = str(version.error or version.reason)
        rows.append(row)
    addresses = {"address": address} if grpc is None else {"address": address, "grpc_address": grpc}
    return {**addresses, "models": rows, "imports": _import_seconds(versions)}


def _import_seconds(versions: "Iterable[ModelVersion]") -> dict[str, float]:
    """The seconds of the import of each framework; several versions may have waited for one import."""
    longest: dict[str, float] = {}
    for version in versions:
        for framework, seconds in version.imports.items():
            longest[framework] = max(seconds, longest.get(framework, 0.0))
    return longest


def _console() -> Console:
    """As wide as a terminal; in a file or a pipe no line is wrapped."""
    console = Console(emoji=False)
    return console if console.is_terminal else Console(width=2**20, emoji=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table

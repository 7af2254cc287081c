"""The commands and what they take."""

import sys
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from typer import Argument, Option

from mlbuffet.cli import changes
from mlbuffet.cli.arguments import (
    check_finite,
    parse_network,
    parse_origin,
    parse_preference,
    parse_root_path,
    parse_size,
    watch_token,
)
from mlbuffet.cli.logs import LogLines, asks_for_json, end_with, logs_json, open_what_is_closed, set_up_logging
from mlbuffet.cli.model_loading import loaded as load
from mlbuffet.cli.options import parse_options, parse_served_options
from mlbuffet.cli.setting_sources import SettingsCommand, WrongSetting, naming_sources, read_settings, settings_of
from mlbuffet.errors import MLBuffetError
from mlbuffet.loading import scan
from mlbuffet.runtime_choice import Preference, names_of
from mlbuffet.runtimes import Runtimes, installed_runtimes

app = typer.Typer(
    help="Run and serve trained models; every runtime is a plugin.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


ArtifactPath = Annotated[str, Argument(metavar="PATH", help="A model's file or folder; a URL too.", show_default=False)]
RuntimeName = Annotated[
    str | None, Option("--runtime", metavar="NAME", help="The runtime to use; else the one that accepts it.")
]
Preferred = Annotated[
    Preference | None,
    Option(
        "--prefer",
        metavar="NAME,...",
        help="The runtimes to take where several accept a model, the first of these first.",
        parser=parse_preference,
        show_default=False,
    ),
]
SignatureName = Annotated[str | None, Option("--signature", metavar="NAME", help="The signature; else the default.")]
AsJson = Annotated[bool, Option("--json", help="Print JSON instead of a table.")]
Options = Annotated[
    list[str] | None, Option(metavar="NAME=VALUE", help="An option of the runtime; may be given several times.")
]
Debug = Annotated[bool, Option("--debug", help="Log more, with the traceback of an error.", callback=set_up_logging)]
_Size = partial(Option, metavar="SIZE", parser=parse_size)
_Number = partial(Option, callback=check_finite)
_Seconds = partial(_Number, metavar="SECONDS")


def main() -> NoReturn:
    """Run the command line; an error is one line on stderr."""
    open_what_is_closed()
    as_json = asks_for_json(sys.argv[1:])
    if as_json:
        LogLines(debug=False, as_json=True, access=False).set_up()
    try:
        status = app(standalone_mode=False)
    except (typer.TyperException, MLBuffetError) as error:
        end_with(error, as_json=as_json or logs_json())
    sys.exit(status or 0)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    *,
    show_version: Annotated[bool, Option("--version", help="Print the version.")] = False,
) -> None:
    """The program without a command."""
    if show_version:
        print("mlbuffet", version("mlbuffet"))
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command(cls=SettingsCommand)
def serve(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        Argument(
            metavar="[NAME=]PATH...",
            help="Folders of models, or models, each under a name of its own if one is given; URLs too.",
            show_default=False,
        ),
    ] = None,
    *,
    config: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="A TOML file with the settings that no flag and no variable gives.",
            callback=read_settings,
            is_eager=True,
        ),
    ] = None,
    show_config: Annotated[
        bool, Option("--show-config", help="Print all settings, and where each comes from, and serve nothing.")
    ] = False,
    host: Annotated[str, Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(help="The port to listen on; 0 is a free one.", min=0, max=65535)] = 8000,
    grpc_port: Annotated[
        int | None,
        Option(metavar="PORT", help="Answer gRPC too, there (mlbuffet\\[grpc]); 0 is a free port.", min=0, max=65535),
    ] = None,
    uds: Annotated[
        Path | None, Option(metavar="PATH", help="The Unix socket to listen on, instead of an address.")
    ] = None,
    root_path: Annotated[
        str | None,
        Option(metavar="PATH", help="Where a proxy has the server, which it takes off.", parser=parse_root_path),
    ] = None,
    ssl_certfile: Annotated[
        Path | None, Option(metavar="FILE", help="The certificate chain of the server, for HTTPS.")
    ] = None,
    ssl_keyfile: Annotated[
        Path | None, Option(metavar="FILE", help="Its key; else in the same file.", show_default=False)
    ] = None,
    ssl_ca_certs: Annotated[
        Path | None, Option(metavar="FILE", help="Whose certificates clients must show; else they need none.")
    ] = None,
    # the defaults of sizes are parsed like what a user gives
    max_body: Annotated[int, _Size(help="The largest body of a request that is read.")] = "64MiB",  # type: ignore[assignment]
    max_upload: Annotated[int, _Size(help="The largest model that may be uploaded.")] = "10GiB",  # type: ignore[assignment]
    admin_token_file: Annotated[
        Path | None, Option(metavar="FILE", help="The token that clients show who change models.", show_default=False)
    ] = None,
    predict_token_file: Annotated[
        Path | None,
        Option(metavar="FILE", help="The token that clients show for whatever has to do with models."),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        Option(
            metavar="SITE",
            help="A site whose pages may use this server, or *; may be given several times.",
            parser=parse_origin,
        ),
    ] = None,
    upload_policy: Annotated[
        Literal["strict", "warn", "off"] | None,
        Option(
            help="Refuse uploads that can run code, or reach files or other machines, or log them; else strict, and "
            "warn on loopback.",
            case_sensitive=False,
        ),
    ] = None,
    read_only: Annotated[bool, Option("--read-only", help="Let clients change nothing, with a token neither.")] = False,
    trusted_proxy: Annotated[
        list[str] | None,
        Option(
            metavar="ADDRESS",
            help="A proxy, or a network, whose X-Forwarded-For is believed; may be given several times.",
            parser=parse_network,
        ),
    ] = None,
    strict_readiness: Annotated[
        bool, Option("--strict-readiness", help="Be ready only while every model is that is to be served.")
    ] = False,
    request_timeout: Annotated[
        float | None, _Seconds(help="How long a model may take; else as long as it needs.", min=0.001)
    ] = None,
    workers: Annotated[int, Option(metavar="N", help="Processes that share the port.", min=1)] = 1,
    grace: Annotated[float, _Seconds(help="How long after SIGTERM the server has ended.", min=1)] = 30,
    drain: Annotated[
        float | None,
        _Seconds(
            help="How much of it connections are accepted, while not ready; else 1, at most a quarter of --grace.",
            min=0,
        ),
    ] = None,
    watch: Annotated[bool, Option("--watch", help="Follow what changes on disk.")] = False,
    lazy: Annotated[bool, Option("--lazy", help="Load a model when it is first used.")] = False,
    max_loaded: Annotated[
        int | None, Option(metavar="N", help="So many versions in memory; implies --lazy.", min=1)
    ] = None,
    max_memory: Annotated[int | None, _Size(help="Models of that size in memory; implies --lazy.")] = None,
    cache_memory: Annotated[int, _Size(help=r"Memory for the answers of models with a \[cache].")] = "128MiB",  # type: ignore[assignment]
    cache_redis: Annotated[str | None, Option(metavar="URL", help="A Redis that several servers share.")] = None,
    log_format: Annotated[
        Literal["human", "json"], Option(help="Lines for people, or a JSON object each.", case_sensitive=False)
    ] = "human",
    access_log: Annotated[bool, Option("--access-log", help="Log each request.")] = False,
    no_fast_path: Annotated[
        bool, Option("--no-fast-path", help="Give small predictions to the application like all others.")
    ] = False,
    batching: Annotated[
        bool, Option("--batching", help="Run requests that wait together as one, for every model that can.")
    ] = False,
    max_concurrency: Annotated[
        int | None, Option(metavar="N", help="So many calls of a model run at once.", min=1, max=1000)
    ] = None,
    max_queue: Annotated[int | None, Option(metavar="N", help="So many more may wait.", min=0, max=10**6)] = None,
    isolate: Annotated[
        bool, Option("--isolate", help="Run each model in a process of its own, which may crash without harm.")
    ] = False,
    runtime: Annotated[
        str | None, Option(metavar="NAME", help="The runtime to take where several accept a model, or none does.")
    ] = None,
    prefer: Preferred = None,
    option: Annotated[
        list[str] | None,
        Option(
            metavar="KEY=VALUE",
            help="An option for runtimes that have it; RUNTIME:KEY=VALUE for one, MODEL.KEY=VALUE for a model.",
        ),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Serve models over HTTP (Open Inference Protocol v2, TensorFlow Serving REST, MLBuffet's own API).

    A folder of models holds NAME/VERSION/ARTIFACT, NAME/ARTIFACT or NAME.SUFFIX. What no flag gives is taken from the
    environment (MLBUFFET_PORT for --port), then from the file of --config.
    """
    if show_config:
        from mlbuffet.cli.reports import show_settings

        show_settings(settings_of(context), as_json=as_json)
        return
    if not paths:
        raise WrongSetting(
            "Missing argument '[NAME=]PATH...'; what is to be served can also stand in the file, as 'paths'"
        )
    from mlbuffet.cli.serving import Serving, check_runtime, check_transport, listen_on, reserved_for_grpc
    from mlbuffet.repository import RepositorySettings
    from mlbuffet.server import ServerSettings

    lines = LogLines(debug=debug, as_json=log_format == "json", access=access_log)
    lines.set_up()
    with naming_sources(context):
        settings = ServerSettings(
            max_body=max_body,
            max_upload=max_upload,
            request_timeout=request_timeout,
            grace=grace,
            drain=drain,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
            ssl_ca_certs=ssl_ca_certs,
            root_path=root_path or "",
            workers=workers,
            admin_token=watch_token(admin_token_file, "--admin-token-file"),
            predict_token=watch_token(predict_token_file, "--predict-token-file"),
            cors_origins=tuple(cors_origin or ()),
            upload_policy=upload_policy,
            read_only=read_only,
            trusted_proxies=tuple(trusted_proxy or ()),
            strict_readiness=strict_readiness,
            access_log=access_log,
            fast_path=not no_fast_path,
        )
        serving = Serving(
            settings=settings,
            lines=lines,
            as_json=as_json,
            places=paths,
            models=RepositorySettings(
                runtime=runtime,
                prefer=names_of(prefer),
                watch=watch,
                lazy=lazy,
                max_loaded=max_loaded,
                max_memory=max_memory,
                cache_memory=cache_memory,
                cache_redis=cache_redis,
                batching=batching,
                max_concurrency=max_concurrency,
                max_queue=max_queue,
                isolate=isolate,
            ),
            options=parse_served_options(option or ()),
        )
        check_transport(settings)
        check_runtime(runtime)
    with reserved_for_grpc(host, grpc_port) as grpc_address, listen_on(host, port, uds) as listener:
        serving = replace(serving, settings=replace(settings, grpc_address=grpc_address))
        raise typer.Exit(serving.run(listener))


@app.command()
def predict(
    path: ArtifactPath,
    *,
    inputs: Annotated[typer.FileBinaryRead, Option(metavar="FILE", help="Inputs by name, JSON or .npz; - is stdin.")],
    signature: SignatureName = None,
    parameter: Annotated[
        list[str] | None, Option(metavar="NAME=VALUE", help="A parameter of the signature; may be given several times.")
    ] = None,
    runtime: RuntimeName = None,
    prefer: Preferred = None,
    option: Options = None,
    debug: Debug = False,
) -> None:
    """Run a model once and print its outputs by name, as JSON."""
    from mlbuffet.cli.files import outputs_as_json, read_inputs

    parameters = parse_options(parameter or (), "--parameter", "temperature=0.5")
    arrays = read_inputs(inputs.read())
    with load(path, installed_runtimes(), runtime or prefer, parse_options(option or ())) as model:
        print(outputs_as_json(model.predict(arrays, signature=signature, parameters=parameters)))


@app.command()
def verify(
    path: ArtifactPath,
    *,
    against: Annotated[str, Option(metavar="OTHER", help="The model's file, folder or URL to compare with.")],
    inputs: Annotated[
        typer.FileBinaryRead | None,
        Option(metavar="FILE", help="Inputs by name, JSON or .npz; - is stdin; else random ones.", show_default=False),
    ] = None,
    signature: SignatureName = None,
    seed: Annotated[int, Option(help="What the random inputs follow from.", min=0)] = 0,
    atol: Annotated[float, _Number(help="How far apart numbers may be.", min=0)] = 1e-5,
    rtol: Annotated[float, _Number(help="How far apart besides, as part of PATH's number.", min=0)] = 1e-4,
    against_signature: Annotated[
        str | None, Option(metavar="NAME", help="OTHER's signature; else the same, else its default.")
    ] = None,
    runtime: RuntimeName = None,
    against_runtime: Annotated[str | None, Option(metavar="NAME", help="The runtime for OTHER.")] = None,
    prefer: Preferred = None,
    option: Options = None,
    against_option: Annotated[
        list[str] | None, Option(metavar="NAME=VALUE", help="An option of the runtime for OTHER.")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run two models on the same inputs and show how far their outputs are apart; exit code 1 where too far."""
    from mlbuffet.cli.files import read_inputs
    from mlbuffet.cli.reports import show_differences
    from mlbuffet.comparison import Tolerance, compare, random_inputs

    found = installed_runtimes()
    options, other_options = parse_options(option or ()), parse_options(against_option or ())
    with (
        load(path, found, runtime or prefer, options) as model,
        load(against, found, against_runtime or prefer, other_options) as other,
    ):
        declared = model.signatures[model.signatures.resolve(signature)]
        values = random_inputs(declared, seed) if inputs is None else read_inputs(inputs.read())
        tolerance = Tolerance(absolute=atol, relative=rtol)
        differences = compare(
            model, other, values, signature=signature, other_signature=against_signature, tolerance=tolerance
        )
    show_differences(differences, as_json=as_json)
    if not all(difference.agrees for difference in differences):
        raise typer.Exit(1)


@app.command()
def convert(
    path: ArtifactPath,
    target: Annotated[Path, Argument(metavar="TARGET", help="The .onnx file to write.", show_default=False)],
    *,
    signature: SignatureName = None,
    opset: Annotated[int | None, Option(metavar="N", help="The version of ONNX's operators.", min=13)] = None,
    inputs: Annotated[
        typer.FileBinaryRead | None,
        Option(metavar="FILE", help="Inputs by name, JSON or .npz; - is stdin; else random ones.", show_default=False),
    ] = None,
    seed: Annotated[int, Option(help="What the random inputs follow from.", min=0)] = 0,
    atol: Annotated[float, _Number(help="How far apart numbers may be.", min=0)] = 1e-5,
    rtol: Annotated[float, _Number(help="How far apart besides, as part of PATH's number.", min=0)] = 1e-4,
    runtime: RuntimeName = None,
    prefer: Preferred = None,
    option: Options = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write a model as ONNX if both give the same outputs, which are shown with the speed; exit code 1 where not."""
    from mlbuffet.cli.conversion import check_target, converted, samples_for
    from mlbuffet.cli.files import read_inputs
    from mlbuffet.cli.reports import show_conversion
    from mlbuffet.comparison import Tolerance
    from mlbuffet.converting import Source
    from mlbuffet.options_type import by_name

    check_target(target)
    options = parse_options(option or ())
    with load(path, installed_runtimes(), runtime or prefer, options) as model:
        name = model.signatures.resolve(signature)
        declared = model.signatures[name]
        samples = samples_for(declared, seed) if inputs is None else [read_inputs(inputs.read())]
        source = Source(path=model.path, name=name, signature=declared, options=by_name(model.options), opset=opset)
        tolerance = Tolerance(absolute=atol, relative=rtol)
        report = converted(model, source, target, samples=samples, tolerance=tolerance, prefer=prefer)
    show_conversion(report, as_json=as_json)
    if report.written is None:
        raise typer.Exit(1)


@app.command()
def inspect(
    path: ArtifactPath,
    *,
    runtime: RuntimeName = None,
    prefer: Preferred = None,
    option: Options = None,
    security: Annotated[
        bool,
        Option("--security", help="Load nothing, and show what the file can do besides; exit code 1 if anything."),
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show a model's runtime and signatures: names, dtypes and shapes of what it takes and gives."""
    from mlbuffet.cli.reports import show_model, show_risks

    if security:
        found = scan(path, installed_runtimes(), runtime or prefer, parse_options(option or ()))
        show_risks(found, as_json=as_json)
        raise typer.Exit(1 if found.risks else 0)
    with load(path, installed_runtimes(), runtime or prefer, parse_options(option or ())) as model:
        show_model(model, as_json=as_json)


@app.command()
def plan(
    place: Annotated[str, Argument(metavar="PATH", help="A folder of models.", show_default=False)],
    *,
    rate: Annotated[
        str, Option(metavar="NAME=NUMBER,...", help="How many calls a second each model gets.", show_default=False)
    ],
    p99: Annotated[
        str | None, Option(metavar="TIME", help="Within which 99 of 100 calls are answered, such as 50ms.")
    ] = None,
    plot: Annotated[
        Path | None,
        Option(metavar="FILE", help="A .png or .svg for latency over load (mlbuffet\\[plan])."),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measure models on this machine, and show how many processes and cores they take for a load."""
    from mlbuffet.cli.planning import check_plot, measure_all, parse_limit, parse_rates, paths_of
    from mlbuffet.cli.reports import show_plan, telling
    from mlbuffet.planning.plan import plan as planned

    rates, limit = parse_rates(rate), None if p99 is None else parse_limit(p99)
    check_plot(plot)
    found = installed_runtimes()
    paths = paths_of(place, list(rates), found)
    with telling(hidden=as_json) as tell:
        measured = measure_all(paths, found, tell)
    plans = planned(measured, rates, limit)
    if plot is not None:
        from mlbuffet.planning.plot import draw

        draw(plans, measured, limit, plot)
    show_plan(plans, measured, limit, as_json=as_json)
    if not all(one.choice for one in plans):
        raise typer.Exit(1)


@app.command()
def tune(
    place: Annotated[str, Argument(metavar="MODEL", help="A model's file, or its folder.", show_default=False)],
    *,
    p99: Annotated[
        str | None, Option(metavar="TIME", help="Within which 99 of 100 calls are answered, such as 50ms.")
    ] = None,
    plot: Annotated[
        Path | None,
        Option(metavar="FILE", help="A .png or .svg for latency over throughput (mlbuffet\\[plan])."),
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what is found, and write nothing.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measure a model with other threads, calls at once and batches, and write the best into its model.toml."""
    from mlbuffet.cli.planning import check_plot, parse_limit
    from mlbuffet.cli.reports import show_tuning, telling
    from mlbuffet.cli.tuning import text_with, tunable
    from mlbuffet.cli.tuning import tune as tuned
    from mlbuffet.repository.configuration_edit import write_configuration

    limit = None if p99 is None else parse_limit(p99)
    check_plot(plot)
    path, file = tunable(place, installed_runtimes())
    with telling(hidden=as_json) as tell:
        found = tuned(path, limit, tell)
    if plot is not None:
        from mlbuffet.planning.tuning_plot import draw

        draw(found.trials, found.best, limit, plot)
    written = file if found.changes and not dry_run else None
    if written is not None:
        write_configuration(written, text_with(written, found.changes))
    show_tuning(found, file, written, as_json=as_json)
    if found.best is None:
        raise typer.Exit(1)


@app.command()
def runtimes(*, as_json: AsJson = False, debug: Debug = False) -> None:
    """Show the installed runtimes, what they accept, and those that are broken."""
    from mlbuffet.cli.reports import show_runtimes

    found = Runtimes()
    found.discover()
    show_runtimes(found, as_json=as_json)


for command in (changes.models, changes.push, changes.default, changes.remove):
    app.command()(command)

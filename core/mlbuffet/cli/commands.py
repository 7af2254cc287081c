"""The commands and what they take."""

import sys
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from mlbuffet.cli import changes
from mlbuffet.cli.logs import LogLines, asks_for_json, end_with, open_what_is_closed, set_up_logging
from mlbuffet.cli.networks import parse_network
from mlbuffet.cli.options import parse_options
from mlbuffet.cli.sizes import parse_size
from mlbuffet.errors import MLBuffetError
from mlbuffet.loading import load
from mlbuffet.runtimes import Runtimes

app = typer.Typer(
    help="Run and serve trained models; every runtime is a plugin.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class LogFormat(Enum):
    """How a line of the log looks."""

    HUMAN = "human"
    JSON = "json"


ArtifactPath = Annotated[Path, typer.Argument(metavar="PATH", help="A model's file or folder.", show_default=False)]
RuntimeName = Annotated[
    str | None, typer.Option("--runtime", metavar="NAME", help="The runtime to use; else the one that accepts it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="An option of the runtime; may be given several times."),
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Log more, with the traceback of an error.", callback=set_up_logging)
]


def main() -> NoReturn:
    """Run the command line; an error is one line on stderr."""
    open_what_is_closed()
    as_json = asks_for_json(sys.argv[1:])
    if as_json:
        LogLines(debug=False, as_json=True, access=False).set_up()
    try:
        status = app(standalone_mode=False)
    except (typer.TyperException, MLBuffetError) as error:
        end_with(error, as_json=as_json)
    sys.exit(status or 0)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    *,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """What comes before a command."""
    if show_version:
        print("mlbuffet", version("mlbuffet"))
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def serve(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Folders of models, or models; URLs too.", show_default=False)
    ],
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 is a free one.", min=0, max=65535)] = 8000,
    max_body: Annotated[
        int, typer.Option(metavar="SIZE", help="The largest body of a request that is read.", parser=parse_size)
    ] = "64MiB",  # type: ignore[assignment]  # parsed like what a person gives
    max_upload: Annotated[
        int, typer.Option(metavar="SIZE", help="The largest model that may be uploaded.", parser=parse_size)
    ] = "10GiB",  # type: ignore[assignment]
    admin_token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The token that clients show who change models.", show_default=False),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Let clients change nothing, with a token neither.")
    ] = False,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A proxy, or a network, whose X-Forwarded-For is believed; may be given several times.",
            parser=parse_network,
        ),
    ] = None,
    strict_readiness: Annotated[
        bool, typer.Option("--strict-readiness", help="Be ready only while every model is that is to be served.")
    ] = False,
    request_timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long a model may take; else as long as it needs.", min=0.001),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", help="Processes that share the port.", min=1)] = 1,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long after SIGTERM the server has ended.", min=1)
    ] = 30,
    watch: Annotated[bool, typer.Option("--watch", help="Follow what changes on disk.")] = False,
    lazy: Annotated[bool, typer.Option("--lazy", help="Load a model when it is first used.")] = False,
    max_loaded: Annotated[
        int | None, typer.Option(metavar="N", help="So many versions in memory; implies --lazy.", min=1)
    ] = None,
    max_memory: Annotated[
        int | None,
        typer.Option(metavar="SIZE", help="Files of that size in memory; implies --lazy.", parser=parse_size),
    ] = None,
    cache_memory: Annotated[
        int, typer.Option(metavar="SIZE", help=r"Memory for the answers of models with a \[cache].", parser=parse_size)
    ] = "128MiB",  # type: ignore[assignment]  # likewise
    cache_redis: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A Redis that several servers share.", envvar="MLBUFFET_CACHE_REDIS"),
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(help="Lines for people, or a JSON object each.", case_sensitive=False)
    ] = LogFormat.HUMAN,
    access_log: Annotated[bool, typer.Option("--access-log", help="Log each request.")] = False,
    no_fast_path: Annotated[
        bool, typer.Option("--no-fast-path", help="Give small predictions to the application like all others.")
    ] = False,
    batching: Annotated[
        bool, typer.Option("--batching", help="Run requests that wait together as one, for every model that can.")
    ] = False,
    max_concurrency: Annotated[
        int | None, typer.Option(metavar="N", help="So many calls of a model run at once.", min=1, max=1000)
    ] = None,
    max_queue: Annotated[int | None, typer.Option(metavar="N", help="So many more may wait.", min=0, max=10**6)] = None,
    runtime: RuntimeName = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Serve models over HTTP (Open Inference Protocol v2, TensorFlow Serving REST, MLBuffet's own API).

    A folder of models holds NAME/VERSION/ARTIFACT, NAME/ARTIFACT or NAME.SUFFIX.
    """
    from mlbuffet.cli.serving import CacheBounds, Served, listen_on, serve_models
    from mlbuffet.cli.tokens import read_token
    from mlbuffet.repository import Residency
    from mlbuffet.scheduling import Limits
    from mlbuffet.server import ServerSettings

    lines = LogLines(debug=debug, as_json=log_format is LogFormat.JSON, access=access_log)
    lines.set_up()
    settings = ServerSettings(
        max_body=max_body,
        max_upload=max_upload,
        request_timeout=request_timeout,
        grace=grace,
        workers=workers,
        admin_token=read_token(admin_token_file) if admin_token_file else None,
        read_only=read_only,
        trusted_proxies=tuple(trusted_proxy or ()),
        strict_readiness=strict_readiness,
        access_log=access_log,
        fast_path=not no_fast_path,
    )
    served = Served(
        places=paths,
        runtime=runtime,
        watch=watch,
        residency=Residency(lazy=lazy, max_loaded=max_loaded, max_memory=max_memory),
        cache=CacheBounds(memory=cache_memory, redis=cache_redis),
        batching=batching,
        limits=Limits(max_concurrency, max_queue),
        changeable=admin_token_file is not None and not read_only,
    )
    with listen_on(host, port) as listener:
        status = serve_models(served, settings, listener, lines, as_json=as_json)
    if status:
        raise typer.Exit(status)


@app.command()
def predict(
    path: ArtifactPath,
    *,
    inputs: Annotated[
        typer.FileBinaryRead, typer.Option(metavar="FILE", help="Inputs by name, JSON or .npz; - is stdin.")
    ],
    signature: Annotated[str | None, typer.Option(metavar="NAME", help="The signature; else the default.")] = None,
    runtime: RuntimeName = None,
    option: Options = None,
    debug: Debug = False,
) -> None:
    """Run a model once and print its outputs by name, as JSON."""
    from mlbuffet.cli.files import outputs_as_json, read_inputs

    arrays = read_inputs(inputs.read())
    with load(path, runtime=runtime, options=parse_options(option or ())) as model:
        print(outputs_as_json(model.predict(arrays, signature=signature)))


@app.command()
def verify(
    path: ArtifactPath,
    *,
    against: Annotated[Path, typer.Option(metavar="OTHER", help="The model's file or folder to compare with.")],
    inputs: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(
            metavar="FILE", help="Inputs by name, JSON or .npz; - is stdin; else random ones.", show_default=False
        ),
    ] = None,
    signature: Annotated[str | None, typer.Option(metavar="NAME", help="The signature; else the default.")] = None,
    seed: Annotated[int, typer.Option(help="What the random inputs follow from.", min=0)] = 0,
    atol: Annotated[float, typer.Option(help="How far apart numbers may be.", min=0)] = 1e-5,
    rtol: Annotated[float, typer.Option(help="How far apart besides, as part of PATH's number.", min=0)] = 1e-4,
    against_signature: Annotated[
        str | None, typer.Option(metavar="NAME", help="OTHER's signature; else the same, else its default.")
    ] = None,
    runtime: RuntimeName = None,
    against_runtime: Annotated[str | None, typer.Option(metavar="NAME", help="The runtime for OTHER.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run two models on the same inputs and show how far their outputs are apart; exit code 1 where too far."""
    from mlbuffet.cli.files import read_inputs
    from mlbuffet.cli.reports import show_differences
    from mlbuffet.comparison import Tolerance, compare, random_inputs

    with load(path, runtime=runtime) as model, load(against, runtime=against_runtime) as other:
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
def inspect(
    path: ArtifactPath,
    *,
    runtime: RuntimeName = None,
    option: Options = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show a model's runtime and signatures: names, dtypes and shapes of what it takes and gives."""
    from mlbuffet.cli.reports import show_model

    with load(path, runtime=runtime, options=parse_options(option or ())) as model:
        show_model(model, as_json=as_json)


@app.command()
def runtimes(*, as_json: AsJson = False, debug: Debug = False) -> None:
    """Show the installed runtimes, what they accept, and those that are broken."""
    from mlbuffet.cli.reports import show_runtimes

    found = Runtimes()
    found.discover()
    show_runtimes(found, as_json=as_json)


for command in (changes.models, changes.push, changes.default, changes.remove):
    app.command()(command)

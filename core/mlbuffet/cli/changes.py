"""The commands that ask a running server what it serves, and change it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from typer import Argument, Option

from mlbuffet.cli.arguments import read_token
from mlbuffet.cli.options import parse_options
from mlbuffet.version_numbers import LARGEST

if TYPE_CHECKING:
    from mlbuffet.cli.client import Client

Url = Annotated[str, Option("--url", metavar="URL", help="Where the server is.")]
TokenFile = Annotated[Path | None, Option(metavar="FILE", help="The token that the server wants.")]
Json = Annotated[bool, Option("--json", help="Print JSON instead of a sentence or a table.")]
ModelName = Annotated[str, Argument(metavar="NAME", help="The model's name.", show_default=False)]
LOCAL = "http://127.0.0.1:8000"


def models(*, url: Url = LOCAL, token_file: TokenFile = None, as_json: Json = False) -> None:
    """Show the models of a running server: versions, states and defaults."""
    from mlbuffet.cli.reports import show_served

    show_served(_client(url, token_file).models(), as_json=as_json)


def push(
    name: ModelName,
    path: Annotated[
        Path, Argument(metavar="PATH", help="The model's file or folder.", exists=True, show_default=False)
    ],
    *,
    description: Annotated[str, Option(metavar="TEXT", help="What is to be known of the version.")] = "",
    library_version: Annotated[str, Option(metavar="TEXT", help="What the model was made with.")] = "",
    runtime: Annotated[
        str | None, Option(metavar="NAME", help="The runtime to use; else the one that accepts it.")
    ] = None,
    option: Annotated[
        list[str] | None,
        Option(metavar="NAME=VALUE", help="An option of the runtime that a client may give; several times."),
    ] = None,
    url: Url = LOCAL,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Upload a model to a running server, as a new version that becomes the default."""
    from mlbuffet.cli.sending import packed, with_progress

    client, options = _client(url, token_file), parse_options(option or ())
    with packed(path) as (file, file_name), with_progress(file, f"uploading {name}") as (content, size):
        fields = {"filename": file_name, "model_description": description, "library_version": library_version}
        fields |= {"runtime": runtime} if runtime else {}
        fields |= {"options": msgspec.json.encode(options).decode()} if options else {}
        version = client.push(name, content, size, fields)
    _show("version {version} of the model {name!r} was added, and is the default", name, version, as_json=as_json)


def default(
    name: ModelName,
    version: Annotated[int, Argument(metavar="VERSION", help="Its number.", min=0, max=LARGEST, show_default=False)],
    *,
    url: Url = LOCAL,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Make a version the default of its model on a running server, such as an older one."""
    _client(url, token_file).choose(name, version)
    _show("version {version} of the model {name!r} is the default", name, version, as_json=as_json)


def remove(
    tag: Annotated[str, Argument(metavar="NAME[:VERSION]", help="The version; else the default.", show_default=False)],
    *,
    url: Url = LOCAL,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Remove a version of a model from a running server and from its disk."""
    version = _client(url, token_file).remove(tag)
    name = tag.partition(":")[0]
    _show("version {version} of the model {name!r} was removed", name, version, as_json=as_json)


def _client(url: str, token_file: Path | None = None) -> "Client":
    from mlbuffet.cli.client import Client

    return Client(url, read_token(token_file) if token_file else None)


def _show(sentence: str, name: str, version: int, *, as_json: bool) -> None:
    from mlbuffet.cli.reports import print_json

    if as_json:
        print_json({"name": name, "version": version})
    else:
        print(sentence.format(name=name, version=version))

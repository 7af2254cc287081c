"""The application of Ray Serve for the models at some places."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from typing_extensions import Unpack

from mlbuffet.places import place_of
from mlbuffet.repository import Sources, split_name
from mlbuffet.repository.replicas import Replicas
from mlbuffet.repository.settings import settings_of
from mlbuffet.server.embedding import ApplicationOptions, application_settings, is_changeable
from mlbuffet_ray.directory import Directory
from mlbuffet_ray.front import Front
from mlbuffet_ray.model_places import place_from, places_of
from mlbuffet_ray.replica import ModelReplica
from mlbuffet_ray.specification import Specification

FRONT = "_front"
"""The deployment that clients reach; a model's name begins with a letter or a digit."""
DIRECTORY = "_directory"
MANY = 10_000
"""So many requests may be under way in a replica that knows by itself how many it takes."""
GRACE = 30.0
"""Seconds in which a replica that is stopped answers what it has begun."""


class Options(ApplicationOptions, total=False):
    """The keywords of `build`: those of `mlbuffet.create_app`, and the fields of `Deployments`."""

    runtimes: Mapping[str, str] | None
    front: Replicas
    replicas: Replicas | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployments:
    """What `build` takes about processes."""

    runtimes: dict[str, str] | None = None
    """The addresses of plugins, as ``module:Class``, by the names of their runtimes; else those installed."""
    front: Replicas = field(default_factory=Replicas)
    """The replicas of the front, which serve the models without a ``[replicas]`` too."""
    replicas: Replicas | None = None
    """Those of models without a ``[replicas]``, which get deployments of their own then."""


def build(place: str | os.PathLike[str], /, *places: str | os.PathLike[str], **options: Unpack[Options]) -> Application:
    """The application for ``serve.run``: MLBuffet's own, before the deployments of models.

    A place is a folder of models, a model, or the URL of a folder, which every node can read. The models are looked
    through now: one with a ``[replicas]`` in its ``model.toml`` gets a deployment of that name, all others are served
    by the front. ``options`` are the settings of `mlbuffet.create_app`, of which ``watch`` is true here, and those of
    `Deployments`.

    Raises what `mlbuffet.create_app` does.
    """
    return _built((place, *places), options, strict=True)


def app(arguments: Mapping[str, Any]) -> Application:
    """`build` for ``serve run mlbuffet_ray:app models=./models``, and for ``args`` in a file of ``serve deploy``.

    ``models`` is a place or, in a file, a list of them. Raises ``ValueError`` where it is missing.
    """
    options = dict(arguments)
    places = options.pop("models", None)
    if not places:
        raise ValueError("mlbuffet_ray:app: models is missing; name a folder of models, as in models=./models")
    return _built([places] if isinstance(places, str) else list(places), options, strict=False)


def _built(given: Sequence[str | os.PathLike[str]], options: Mapping[str, Any], *, strict: bool) -> Application:
    name = "mlbuffet_ray.build()"
    ours = {option: value for option, value in options.items() if option in Deployments.__annotations__}
    deployments = settings_of(Deployments, name, ours, strict=strict)
    others = {option: value for option, value in options.items() if option not in ours}
    repository, server = application_settings(name, {"watch": True, **others}, strict=strict)
    specification = Specification(
        places=tuple(_absolute(one) for one in given),
        runtimes=deployments.runtimes,
        repository=repository,
        server=server,
        own=frozenset(),
    )
    return _bound(specification, deployments)


def _bound(specification: Specification, deployments: Deployments) -> Application:
    places = [place_from(one) for one in specification.places]
    repository, changeable = specification.repository, is_changeable(specification.server)
    sources = Sources(places, specification.make_runtimes(), repository.preference)
    models = sources.find(may_be_empty=repository.watch or changeable)
    wanted = {model.name: (model, model.configuration.replicas or deployments.replicas) for model in models}
    own = {name: (model, replicas) for name, (model, replicas) in wanted.items() if replicas is not None}
    specification = replace(specification, own=frozenset(own))
    directory = serve.deployment(
        Directory, name=DIRECTORY, ray_actor_options={"num_cpus": 0}, max_ongoing_requests=MANY
    )
    there = directory.bind(specification.own)
    handles = {
        name: _deployed(ModelReplica, name, replicas).bind(places_of(model, places), specification, there)
        for name, (model, replicas) in own.items()
    }
    front = _deployed(serve.ingress()(Front), FRONT, deployments.front)
    return front.bind(specification, handles, there)


def _deployed(kind: Any, name: str, replicas: Replicas) -> Any:
    """A deployment of ``kind`` with so many replicas, each of which says by itself when it has too much to do."""
    resources = {"num_cpus": replicas.num_cpus, "num_gpus": replicas.num_gpus, "memory": replicas.memory}
    options: dict[str, Any] = {
        "name": name,
        "ray_actor_options": {what: amount for what, amount in resources.items() if amount is not None},
        "max_ongoing_requests": MANY,
        "graceful_shutdown_timeout_s": GRACE,
    }
    if replicas.max is None or replicas.max == replicas.min:
        return serve.deployment(kind, num_replicas=replicas.min, **options)
    scaling = {"min_replicas": replicas.min, "max_replicas": replicas.max, "target_ongoing_requests": replicas.target}
    return serve.deployment(kind, autoscaling_config=scaling, **options)


def _absolute(place: str | os.PathLike[str]) -> str:
    """A place as the other processes of the application find it."""
    name, path = split_name(os.fspath(place))
    found = place_of(path)
    address = str(found.absolute()) if isinstance(found, Path) else found
    return address if name is None else f"{name}={address}"

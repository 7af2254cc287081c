"""The meta graph of a SavedModel folder: parsed, and chosen by its tags."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from mlbuffet.errors import InvalidOptions, LoadFailed
from mlbuffet_tensorflow._tensorflow import saved_model_pb2

MetaGraph: TypeAlias = Any  # TensorFlow's messages have no types
SERVE = "serve"


def read_meta_graph(path: Path, tags: tuple[str, ...] | None) -> MetaGraph:
    """The meta graph to serve: the one with exactly ``tags``; without them the one tagged ``serve`` alone, else the
    only one with that tag among others, else the one without tags, else the only one.
    """
    graphs: dict[tuple[str, ...], MetaGraph] = {}
    for graph in read_meta_graphs(path):
        graphs.setdefault(tags_of(graph), graph)  # TensorFlow loads the first of several with the same tags
    if not graphs:
        raise LoadFailed("saved_model.pb is empty or cut short: it holds no graph; copy or save the model again")
    if tags is None:
        return graphs[_to_serve(list(graphs))]
    wanted = tuple(sorted(set(tags)))
    if wanted not in graphs:
        raise InvalidOptions(f"no graph of the file is tagged {list(tags)}; the tags are {_shown(graphs)}")
    return graphs[wanted]


def tags_of(meta_graph: MetaGraph) -> tuple[str, ...]:
    """The tags of a meta graph, sorted, each once."""
    return tuple(sorted(set(meta_graph.meta_info_def.tags)))


def _to_serve(tag_sets: list[tuple[str, ...]]) -> tuple[str, ...]:
    for chosen in ((SERVE,), *_only(tags for tags in tag_sets if SERVE in tags), (), *_only(tag_sets)):
        if chosen in tag_sets:
            return chosen
    choices = " or ".join(f"tags = {json.dumps(tags, ensure_ascii=False)}" for tags in tag_sets)
    raise LoadFailed(
        f"the file holds several graphs, tagged {_shown(tag_sets)}, and none is the one to serve; "
        f"choose one with the option tags, which model.toml has below [options]: {choices}"
    )


def _only(tag_sets: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The only one of ``tag_sets``, or none."""
    several = list(tag_sets)
    return several if len(several) == 1 else []


def _shown(tag_sets: Iterable[tuple[str, ...]]) -> str:
    return " and ".join(str(list(tags)) for tags in tag_sets)


def read_meta_graphs(path: Path) -> list[MetaGraph]:
    """All of the file. Raises `LoadFailed`."""
    message = saved_model_pb2.SavedModel()
    try:
        if (path / "saved_model.pb").is_file():
            message.ParseFromString((path / "saved_model.pb").read_bytes())
        else:
            text_format.Parse((path / "saved_model.pbtxt").read_bytes(), message)
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise LoadFailed(
            "saved_model.pb is damaged or cut short; copy or save the model again", detail=str(error)
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LoadFailed(
            "it is not a SavedModel, which is a folder with a file saved_model.pb; save the model with "
            "model.export(path) or tf.saved_model.save(model, path), and give the folder"
        ) from error
    return list(message.meta_graphs)

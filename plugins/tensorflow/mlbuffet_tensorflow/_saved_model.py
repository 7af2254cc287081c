"""The meta graph of a SavedModel folder: parsed, and chosen by its tags."""

from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from mlbuffet.errors import LoadFailed
from mlbuffet_tensorflow._options import invalid_options
from mlbuffet_tensorflow._tensorflow import saved_model_pb2

MetaGraph: TypeAlias = Any  # TensorFlow's messages have no types
SERVE = "serve"


def read_meta_graph(path: Path, tags: tuple[str, ...] | None) -> MetaGraph:
    """The meta graph to serve: the one with exactly ``tags``, else the one tagged ``serve``, else the only one."""
    meta_graphs = list(_read(path).meta_graphs)
    if not meta_graphs:
        raise LoadFailed("saved_model.pb is empty or cut short: it holds no graph; copy or save the model again")
    if tags is not None:
        return _tagged(meta_graphs, tags)
    served = [graph for graph in meta_graphs if SERVE in tags_of(graph)]
    match [graph for graph in served if tags_of(graph) == (SERVE,)], served, meta_graphs:
        case ([chosen], _, _) | (_, [chosen], _) | (_, _, [chosen]):
            return chosen
    raise LoadFailed(
        f"the file holds several graphs, tagged {_tag_sets(meta_graphs)}, and none is the one to serve; "
        f'choose one with the option tags, for example tags = ["{tags_of(meta_graphs[0])[0]}"]'
    )


def tags_of(meta_graph: MetaGraph) -> tuple[str, ...]:
    """The tags of a meta graph, sorted."""
    return tuple(sorted(meta_graph.meta_info_def.tags))


def _tagged(meta_graphs: list[MetaGraph], tags: tuple[str, ...]) -> MetaGraph:
    for meta_graph in meta_graphs:
        if tags_of(meta_graph) == tuple(sorted(tags)):
            return meta_graph
    raise invalid_options(f"no graph of the file is tagged {list(tags)}; the tags are {_tag_sets(meta_graphs)}")


def _tag_sets(meta_graphs: list[MetaGraph]) -> str:
    return " and ".join(str(list(tags_of(graph))) for graph in meta_graphs)


def _read(path: Path) -> Any:
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
    return message

"""Which of several graphs in one SavedModel is served."""

# mypy: allow-untyped-calls

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mlbuffet
from mlbuffet import InvalidOptions, LoadFailed, Runtimes
from mlbuffet_tensorflow._tensorflow import tf
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

v1 = tf.compat.v1
Ask = Callable[..., int]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Save a graph for each set of tags, and ask the one that is loaded for its number."""
    runtimes = Runtimes()
    runtimes.register(TensorFlowRuntime(), name="tensorflow")

    def ask(*tag_sets: list[str], **options: Any) -> int:
        builder = v1.saved_model.builder.SavedModelBuilder(str(tmp_path / "model"))
        for number, tags in enumerate(tag_sets):
            with tf.Graph().as_default(), v1.Session() as session:
                weight = v1.get_variable("weight", initializer=0)
                info = v1.saved_model.build_tensor_info(weight + number)
                definitions = {"default": v1.saved_model.build_signature_def({}, {"y": info})}
                session.run(v1.global_variables_initializer())
                if number:
                    builder.add_meta_graph(tags, definitions)
                else:
                    builder.add_meta_graph_and_variables(session, tags, definitions)
        builder.save()
        with mlbuffet.load(tmp_path / "model", runtimes=runtimes, options=options) as model:
            return int(model.predict({})["y"])

    return ask


@pytest.mark.parametrize(
    ("tag_sets", "served"),
    [
        ([[], ["train"]], 0),  # every module of TF1 Hub
        ([["train"], []], 1),
        ([["train"], ["gpu"], []], 2),
        ([["serve", "gpu"], ["serve"]], 1),
        ([[], ["serve"]], 1),
        ([[], ["serve", "gpu"]], 1),
        ([["train"], ["serve", "gpu"]], 1),
        ([["serve", "gpu"], ["serve", "tpu"], []], 2),
        ([["train"]], 0),
        ([[]], 0),
        ([["serve"], ["serve"]], 0),  # the first, as TensorFlow does it
    ],
)
def test_the_graph_to_serve_is_chosen_by_its_tags(ask: Ask, tag_sets: list[list[str]], served: int) -> None:
    assert ask(*tag_sets) == served


@pytest.mark.parametrize(
    ("tag_sets", "tags", "served"),
    [
        ([[], ["train"]], ["train"], 1),
        ([["serve"], []], [], 1),
        ([["gpu"], ["cpu"]], ["cpu"], 1),
        ([["serve"], ["gpu", "serve"]], ["serve", "gpu", "serve"], 1),
    ],
)
def test_the_option_tags_chooses_any(ask: Ask, tag_sets: list[list[str]], tags: list[str], served: int) -> None:
    assert ask(*tag_sets, tags=tags) == served


@pytest.mark.parametrize(
    ("tag_sets", "shown", "choices"),
    [
        ([["gpu"], ["cpu"]], "['gpu'] and ['cpu']", 'tags = ["gpu"] or tags = ["cpu"]'),
        ([["serve", "gpu"], ["serve", "cpu"]], "['gpu', 'serve'] and", 'tags = ["gpu", "serve"] or tags'),
        ([["train"], ["eval"], ["größe"]], "['train'] and ['eval'] and", 'or tags = ["größe"]'),
    ],
)
def test_where_none_is_the_one_to_serve_the_refusal_says_how_to_choose(
    ask: Ask, tag_sets: list[list[str]], shown: str, choices: str
) -> None:
    with pytest.raises(LoadFailed) as refused:
        ask(*tag_sets)
    assert f"several graphs, tagged {shown}" in refused.value.public
    assert "choose one with the option tags, which model.toml has below [options]" in refused.value.public
    assert choices in refused.value.public


def test_tags_that_no_graph_has_are_refused_with_those_that_there_are(ask: Ask) -> None:
    with pytest.raises(
        InvalidOptions, match=r"no graph of the file is tagged \['tpu'\]; the tags are \[\] and \['train"
    ):
        ask([], ["train"], tags=["tpu"])

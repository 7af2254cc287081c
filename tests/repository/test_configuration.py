"""model.toml does what it says, and says what is wrong with it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import get_type_hints

import pytest

from mlbuffet import InvalidConfiguration, ModelNotReady, Runtimes
from mlbuffet.repository import ModelRepository, State, find_models
from mlbuffet.repository.configuration import Cache, Configuration, WarmUp, read_configuration, schema_text
from mlbuffet.repository.replicas import Replicas
from mlbuffet.scheduling import Batching, Limits

Serve = Callable[[str], ModelRepository]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Versions 1 to 4 of the model ``m``, and the model ``other``."""
    for number in (1, 2, 3, 4):
        (tmp_path / f"models/m/{number}").mkdir(parents=True)
        (tmp_path / f"models/m/{number}/x.half").write_text("half")
    (tmp_path / "models/other.half").write_text("half")
    return tmp_path / "models"


@pytest.fixture
def serve(models: Path, runtimes: Runtimes) -> Iterator[Serve]:
    """A function that serves the models with a ``model.toml`` for ``m``."""
    with ExitStack() as stack:

        def make(toml: str) -> ModelRepository:
            (models / "m/model.toml").write_text(toml)
            repository = ModelRepository(runtimes)
            stack.callback(repository.close)  # or it would try again to load what cannot be, and log that
            repository.update(find_models(models, runtimes))
            repository.load_all()
            return repository

        yield make


@pytest.mark.parametrize(
    ("toml", "numbers"),
    [
        ("", [1, 2, 3, 4]),
        ('versions = "all"', [1, 2, 3, 4]),
        ('versions = "latest"', [4]),
        ("versions = {latest = 2}", [3, 4]),
        ("versions = [1, 3, 9]", [1, 3]),
        ('versions = "latest"\nlabels = {stable = 2, gone = 7}', [2, 4]),
    ],
)
def test_the_versions_that_are_selected_are_served(serve: Serve, toml: str, numbers: list[int]) -> None:
    repository = serve(toml)
    assert [(one.version, one.state) for one in repository.versions("m")] == [(one, State.READY) for one in numbers]


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        (
            "runtim = 'half'",
            "unknown key 'runtim'; the valid keys are: "
            "description, runtime, signature, versions, labels, options, warmup, scheduling, cache, batching",
        ),
        ("[cache]\nsize = 2", "unknown key 'cache.size'; the valid keys are: seconds"),
        ("[cache]\nseconds = 0", "cache.seconds: expected 'float' > 0"),
        ("[scheduling]\nqueue = 2", "unknown key 'scheduling.queue'; the valid keys are: max_concurrency, max_queue"),
        ("[scheduling]\nmax_concurrency = 0", "scheduling.max_concurrency: expected 'int' >= 1"),
        ("[warmup]\ntimes = 2", "unknown key 'warmup.times'; the valid keys are: inputs, signature, repeat"),
        (
            "[batching]\nsize = 2",
            "unknown key 'batching.size'; the valid keys are: max_size, max_delay_ms, preferred_sizes",
        ),
        ("[batching]\nmax_size = 0", "batching.max_size: expected 'int' >= 1"),
        ("[batching]\nmax_size = 4\npreferred_sizes = [8]", "batching: a preferred size is larger than max_size"),
        ("versions = {last = 2}", "unknown key 'versions.last'; the valid keys are: latest"),
        ("runtime = 3", "runtime: expected 'str | array | null', got 'int'"),
        ("runtime = []", "runtime: expected 'array' of length >= 1"),
        ("runtime = ['half', 3]", "runtime[1]: expected 'str', got 'int'"),
        ("[warmup]\nrepeat = 'often'", "warmup.repeat: expected 'int', got 'str'"),
        ('versions = "newest"', 'versions: invalid enum value \'newest\'; write versions = "all", "latest"'),
        ("versions = [-1]", "versions[0]: expected 'int' >= 0; write versions ="),
        ("versions = {latest = 0}", "versions.latest: expected 'int' >= 1"),
        ('labels = {"a b" = 1}', "a name in labels: expected 'str' matching regex"),
        ('labels = {a = "1"}', "labels: expected 'int', got 'str'"),
        ("versions = ", "it is not TOML: Invalid value (at "),
    ],
)
def test_a_wrong_file_names_the_key_and_the_valid_ones_and_fails_its_model_alone(
    serve: Serve, models: Path, toml: str, problem: str
) -> None:
    repository = serve(toml)
    version = repository.get("m")
    assert f"'{models}/m/model.toml' is wrong: {problem}" in str(version.error)
    with pytest.raises(ModelNotReady) as refused:
        assert version.model
    assert f"the model's model.toml is wrong: {problem}" in str(refused.value)
    assert repository.get("other").state is State.READY


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="it cannot be read: is a directory"):
        read_configuration(tmp_path)


def test_the_runtime_is_used_without_being_asked(serve: Serve, models: Path) -> None:
    (models / "m/5").mkdir()
    (models / "m/5/x.bin").write_text("one FP32")
    assert str(serve("").get("m", 5).error).startswith("no installed runtime accepts")
    version = serve("runtime = 'half'").get("m", 5)
    assert version.path == models / "m/5"
    assert "cannot be loaded by the runtime 'half'" in str(version.error)
    assert "there is no runtime 'lost'" in str(serve("runtime = 'lost'").get("m").error)


def test_the_signature_answers_calls_that_name_none(serve: Serve) -> None:
    model = serve("signature = 'both'").get("m").model
    assert list(model.predict({"x": [2]})) == ["y", "z"]
    error = serve("signature = 'neither'").get("m").error
    assert "model.toml: 'signature': there is no signature 'neither'; name one of: serving_default, both" in str(error)


def test_a_version_that_fails_its_warm_up_fails_to_load(serve: Serve) -> None:
    assert serve("[warmup]\nrepeat = 3").get("m").state is State.READY
    assert serve("[warmup]\ninputs = {x = [1.5]}\nsignature = 'both'").get("m").state is State.READY
    failed = serve("[warmup]\ninputs = {x = [666]}").get("m")
    assert "model.toml: its warm-up failed" in str(failed.error)
    assert "a secret" not in failed.reason
    wrong = serve("[warmup]\ninputs = {y = [1]}").get("m")
    assert "model.toml: 'warmup': input 'x' is missing" in wrong.reason


def test_the_description_is_kept(serve: Serve) -> None:
    assert serve("description = 'Half'").stored("m").configuration.description == "Half"


def test_the_schema_that_is_shipped_is_that_of_the_struct() -> None:
    shipped = files("mlbuffet.repository").joinpath("model.schema.json").read_text()
    assert shipped == schema_text(), "run: make schema"


def test_every_key_is_documented_and_the_example_is_right(tmp_path: Path) -> None:
    text = (ROOT / "docs/models.md").read_text()
    tables = {
        "": Configuration,
        "warmup.": WarmUp,
        "scheduling.": Limits,
        "batching.": Batching,
        "cache.": Cache,
        "replicas.": Replicas,
    }
    for key in [prefix + key for prefix, struct in tables.items() for key in get_type_hints(struct)]:
        assert f"| `{key}` |" in text
    (tmp_path / "model.toml").write_text(text.split("```toml\n")[1].split("```")[0])
    assert read_configuration(tmp_path / "model.toml").labels == {"stable": 1}


def test_fewer_replicas_at_most_than_at_least_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.toml"
    file.write_text("[replicas]\nmin = 3\nmax = 2")
    with pytest.raises(InvalidConfiguration, match="replicas: max is 2, and min 3; max is at least min"):
        read_configuration(file)
    file.write_text("[replicas]\nmin = 3\ncores = 2")
    with pytest.raises(InvalidConfiguration, match=r"unknown key 'replicas\.cores'; the valid keys are: min, max"):
        read_configuration(file)

"""A plugin says which options it has by a type, and the core holds what is given against it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

import mlbuffet
from mlbuffet import InvalidHook, InvalidOptions, Runtimes, Signature, Signatures, hookimpl
from mlbuffet.model import load_artifact

Threads = Annotated[int, msgspec.Meta(ge=0)]


class Struct(msgspec.Struct, frozen=True):
    threads: Threads = 1
    missing: float = 0.0
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if "" in self.labels:
            raise ValueError("labels has an empty name")


@dataclass(frozen=True)
class Data:
    threads: Threads = 1
    missing: float = 0.0
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if "" in self.labels:
            raise ValueError("labels has an empty name")


class Declaring:
    client_options = frozenset({"labels"})

    def __init__(self, options: type) -> None:
        self.options = options

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return True

    @hookimpl
    def load(self, options: Any) -> Any:
        if options.labels == ("a", "b"):
            raise InvalidOptions("labels has 2 names, and the model 3 classes")
        return options

    @hookimpl
    def signature(self, model: Any) -> Signatures:
        return Signatures({"serving_default": Signature([], [])})

    @hookimpl
    def predict(self, model: Any) -> Any:
        return {}


@pytest.fixture(params=[Struct, Data])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def runtimes(kind: Any) -> Runtimes:
    runtimes = Runtimes()
    runtimes.register(Declaring(kind), name="declaring")
    return runtimes


def test_load_gets_an_instance_with_defaults(kind: Any, runtimes: Runtimes) -> None:
    runtime = runtimes["declaring"]
    runtime.default_options = {"threads": 3, "missing": 1}
    assert runtime.load_options == ("threads", "missing", "labels")
    combined = runtime.combined_options({"threads": 4}, {"labels": ["a"]})
    assert combined == kind(threads=4, missing=1.0, labels=("a",))
    assert isinstance(combined.missing, float)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"thread": 1, "label": 2}, "there is no option 'thread', 'label'"),
        ({"threads": "1"}, "threads: expected int, got str"),
        ({"threads": True}, "threads: expected int, got bool"),
        ({"threads": -1}, "threads: expected int >= 0"),
        ({"labels": ["a", 1]}, "labels[1]: expected str, got int"),
        ({"labels": "abc"}, "labels: expected array, got str"),
        ({"labels": [""]}, "labels has an empty name"),
        ({"labels": ["a", "b"]}, "labels has 2 names, and the model 3 classes"),
    ],
    ids=str,
)
def test_what_does_not_fit_names_the_option_and_those_there_are(
    runtimes: Runtimes, tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    (tmp_path / "m").touch()
    with pytest.raises(InvalidOptions) as error:
        mlbuffet.load(tmp_path / "m", runtimes=runtimes, options=options)
    valid = "the valid options are: threads, missing, labels"
    assert str(error.value) == f"invalid options: {problem}; {valid}"


@pytest.mark.parametrize("labels", [["a", "b"], [1], [""]])
def test_a_client_is_told_its_own_options_alone(runtimes: Runtimes, tmp_path: Path, labels: list[Any]) -> None:
    (tmp_path / "m").touch()
    with pytest.raises(InvalidOptions, match=r"the valid options are: labels$"):
        load_artifact(tmp_path / "m", runtimes, None, {}, client_options={"labels": labels})


class Threaded(Declaring):
    threads_option = "threads"


class Misspelt(Declaring):
    threads_option = "thread"


def test_a_runtime_names_the_option_for_threads_among_its_options() -> None:
    runtimes = Runtimes()
    runtimes.register(Threaded(Struct), name="threaded")
    assert runtimes["threaded"].threads_option == "threads"
    with pytest.raises(InvalidHook, match="its threads_option 'thread' is none of its options"):
        runtimes.register(Misspelt(Struct), name="misspelt")

"""The guide to TensorFlow models: its code runs in order, its commands too, and its table is what real saves hold."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

import mlbuffet
from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Signature, TensorSpec
from mlbuffet_tensorflow._tensorflow import tf

# mypy: allow-subclassing-any, allow-untyped-decorators

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "tensorflow.md"
FOUR = tf.TensorSpec([None, 4], tf.float32, name="x")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the guide's Python ran, block after block as one program, which checks itself."""
    folder = tmp_path_factory.mktemp("guide")
    program = f"import sys; sys.path.append({str(ROOT / 'examples')!r})\n" + "\n".join(blocks("python"))
    ran = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "(1, 16)" in ran.stdout
    return folder


def test_its_commands_run(folder: Path) -> None:
    serve, curl, commands = blocks("sh")
    mlbuffet_command = f"{shlex.quote(sys.executable)} -m mlbuffet"
    command = shlex.split(serve.replace("mlbuffet", mlbuffet_command, 1).replace("8000", "0"))
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    shown = ""
    while "serving on" not in shown:
        shown += server.stdout.readline()
    port = re.findall(r"127\.0\.0\.1:(\d+)", shown)[0]
    script = "set -e\n" + curl.replace("8000", port) + commands.replace("mlbuffet ", f"{mlbuffet_command} ")
    ran = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True)
    server.terminate()
    server.communicate(timeout=10)
    assert ran.returncode == 0, ran.stderr
    assert '"predictions"' in ran.stdout
    assert "The default is 'serving_default'" in ran.stdout


def test_functions_without_signatures_are_served_by_name(folder: Path) -> None:
    with mlbuffet.load(folder / "saved" / "functions") as model:
        assert sorted(model.signatures) == ["classify", "embed"]
        assert model.signatures.default is None


class Plain(tf.Module):
    """Nothing is decorated."""

    def predict(self, x: Any) -> Any:
        return x * 2.0


class One(tf.Module):
    """One function for any call of its kind."""

    @tf.function(input_signature=[FOUR])
    def predict(self, x: Any) -> Any:
        return x * 2.0


class Named(tf.Module):
    """One function that names what it returns."""

    @tf.function(input_signature=[FOUR])
    def predict(self, x: Any) -> Any:
        return {"doubled": x * 2.0}


class Called(tf.Module):
    """One function, of which only calls say what it takes."""

    @tf.function
    def predict(self, x: Any) -> Any:
        return x * 2.0


class Two(One):
    """A second function."""

    @tf.function(input_signature=[FOUR])
    def embed(self, x: Any) -> Any:
        return x + 1.0


class TwoAndCall(Two):
    """A third one, which is what calling the object runs."""

    @tf.function(input_signature=[FOUR])
    def __call__(self, x: Any) -> Any:
        return x - 1.0


def traced() -> Any:
    model = Called()
    model.predict(tf.zeros([3, 4]))
    return model


def keras_model() -> Any:
    return keras.Sequential([keras.Input([4], name="x"), keras.layers.Dense(2, name="y")])


def save(model: Any, path: Path, **signatures: Any) -> None:
    tf.saved_model.save(model, str(path), **signatures)


SAVES: dict[str, Callable[[Path], None]] = {
    "Keras: `model.export(path)`": lambda path: keras_model().export(str(path), verbose=False),
    "Keras: `model.save('model.keras')`": lambda path: keras_model().save(path.with_suffix(".keras")),
    "Keras: `model.save('model.h5')`": lambda path: keras_model().save(path.with_suffix(".h5")),
    "Keras: `tf.saved_model.save(model, path)`": lambda path: save(keras_model(), path),
    "`tf.Module`, nothing decorated": lambda path: save(Plain(), path),
    "`tf.function` with `input_signature`": lambda path: save(One(), path),
    "the same, returning `{'doubled': ...}`": lambda path: save(Named(), path),
    "`tf.function` without, never called": lambda path: save(Called(), path),
    "`tf.function` without, called once with [3, 4]": lambda path: save(traced(), path),
    "two functions, `predict` and `embed`": lambda path: save(Two(), path),
    "these and a decorated `__call__`": lambda path: save(TwoAndCall(), path),
    "two, with `signatures=model.predict`": lambda path: save((two := Two()), path, signatures=two.predict),
    "two, with `signatures={'mine': model.predict}`": lambda path: save(
        (two := Two()), path, signatures={"mine": two.predict}
    ),
    "two, with `signatures={'serving_default': ..., 'embed': ...}`": lambda path: save(
        (two := Two()), path, signatures={"serving_default": two.predict, "embed": two.embed}
    ),
}


def row(title: str, path: Path) -> str:
    try:
        with mlbuffet.load(path) as model:
            served = "; ".join(f"`{name}` ({described(one)})" for name, one in model.signatures.items())
            default = f"`{model.signatures.default}`" if model.signatures.default else "none"
    except LoadFailed:
        served, default = "refused: there is nothing to call", "-"
    return f"| {title} | {served} | {default} |"


def described(signature: Signature) -> str:
    return f"{specs(signature.inputs.values())} to {specs(signature.outputs.values())}"


def specs(of: Any) -> str:
    return ", ".join(shown(spec) for spec in of)


def shown(spec: TensorSpec) -> str:
    sizes = "any" if spec.shape is None else ", ".join("any" if size is None else str(size) for size in spec.shape)
    return f"{spec.name} [{sizes}]"


@pytest.mark.filterwarnings("ignore")  # Keras on its own use of numpy, and on its older formats
def test_its_table_is_what_real_saves_hold(tmp_path: Path) -> None:
    rows = ["| saved as | signatures | default |", "|---|---|---|"]
    for number, (title, make) in enumerate(SAVES.items()):
        make(tmp_path / str(number))
        (path,) = tmp_path.glob(f"{number}*")
        rows.append(row(title, path))
    (written,) = re.findall(r"<!-- table -->\n(.*?)<!-- end of table -->", GUIDE.read_text(), re.DOTALL)
    assert written == "\n".join([*rows, ""]), "\n".join(rows)

"""The commands as a person meets them: what they print, where, and how they end."""

import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.core import TyperGroup
from typer.main import get_command

from knowing_runtime import Asked
from mlbuffet import Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.cli import main
from mlbuffet.cli.commands import app
from mlbuffet.errors import InvalidConfiguration
from mlbuffet.repository.configuration import read_configuration
from mlbuffet.runtimes import _found_in
from small_runtimes import Both, Echo, HalfPlusTwo, write_models


@dataclass
class Result:
    status: int | str | None
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runtimes: Runtimes) -> Run:
    """Run the command line in this process, with the runtimes of the tests installed."""

    def discover(self: Runtimes) -> None:
        for runtime in runtimes:
            self.register(runtime.plugin, name=runtime.name)
        self.broken["torn"] = ImportError("No module named 'torch'")

    monkeypatch.setattr(Runtimes, "discover", discover)
    _found_in.cache_clear()  # other tests of this process may have looked for what is really installed
    monkeypatch.setenv("COLUMNS", "120")

    def run_main(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["mlbuffet", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return Result(exit_.value.code, out, err)

    return run_main


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        result = run(*arguments)
        assert result.status == 0
        assert all(command in result.out for command in ("serve", "predict", "inspect", "runtimes"))
    assert run("--version").out == "mlbuffet 1.0.0\n"


def test_help_shows_every_text_as_it_was_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    commands = get_command(app)
    assert isinstance(commands, TyperGroup)
    for name, command in commands.commands.items():
        shown = " ".join(run(name, "--help").out.split())
        texts = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
        for text in filter(None, texts):
            assert " ".join(text.replace("\\[", "[").split()) in shown, name


def test_runtimes_are_listed_with_what_they_accept_and_the_broken_ones(run: Run) -> None:
    table = run("runtimes")
    assert table.status == 0
    assert "A .half file." in table.out
    assert "ImportError: No module named 'torch'" in table.out
    listed = json.loads(run("runtimes", "--json").out)
    assert listed["runtimes"][0] == {"name": "half", "distribution": None, "version": None, "accepts": "A .half file."}
    assert listed["contract"] == "1.0"
    assert "Version 1.0 of the contract with plugins." in table.out
    assert listed["broken"] == [{"name": "torn", "reason": "ImportError: No module named 'torch'"}]


def test_without_any_runtime_the_way_to_one_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runtimes, "discover", lambda _: None)
    assert "pip install mlbuffet-onnx" in run("runtimes").out


def test_a_model_is_inspected(run: Run, half: Path) -> None:
    table = run("inspect", half)
    assert table.status == 0
    assert "serving_default (default)" in table.out
    assert "float32" in table.out
    described = json.loads(run("inspect", half, "--json").out)
    x, y, z = ({"name": name, "dtype": "float32", "shape": [None]} for name in "xyz")
    assert described == {
        "path": str(half),
        "runtime": "half",
        "platform": "half",
        "default": "serving_default",
        "default_reason": "",
        "signatures": {
            "serving_default": {"method": "predict", "inputs": [x], "outputs": [y]},
            "both": {"method": "predict", "inputs": [x], "outputs": [y, z]},
        },
    }


def test_what_a_tensor_has_beside_name_dtype_and_shape_is_shown(run: Run, runtimes: Runtimes, tmp_path: Path) -> None:
    class Described:
        @hookimpl
        def accepts(self, path: Path) -> bool:
            return path.suffix == ".described"

        @hookimpl
        def load(self) -> object:
            return object()

        @hookimpl
        def signature(self) -> Signatures:
            mask = TensorSpec("mask", bool, ("batch",), optional=True, description="[which] rows count")
            scores = TensorSpec("scores", np.float32, ("batch", 7), labels=["ab", "defg", *"defgh"])
            return Signatures({"serving_default": Signature([mask], [scores], description="How likely it is")})

        @hookimpl
        def predict(self) -> dict[str, object]:
            return {}

    runtimes.register(Described, name="described")
    (tmp_path / "a.described").touch()
    lines = run("inspect", tmp_path / "a.described").out.splitlines()
    assert next(line for line in lines if " mask " in line).endswith("(batch,)    optional; [which] rows count")
    assert next(line for line in lines if " scores " in line).endswith("(batch, 7)  ab, defg, d, e, f and 2 more")
    assert any("How likely it is" in line for line in lines)
    shown = json.loads(run("inspect", tmp_path / "a.described", "--json").out)["signatures"]["serving_default"]
    assert shown["description"] == "How likely it is"
    assert shown["inputs"] == [
        {"name": "mask", "dtype": "bool", "shape": ["batch"], "optional": True, "description": "[which] rows count"}
    ]
    assert shown["outputs"][0]["labels"] == ["ab", "defg", "d", "e", "f", "g", "h"]


def test_a_model_without_a_default_says_so(run: Run, runtimes: Runtimes, tmp_path: Path) -> None:
    class Classifier:
        @hookimpl
        def accepts(self, path: Path) -> bool:
            return path.suffix == ".classes"

        @hookimpl
        def load(self) -> object:
            return object()

        @hookimpl
        def signature(self) -> Signatures:
            text = TensorSpec("inputs", object, None)
            return Signatures({"[b]classes": Signature([text], [], method="classify")}, default=None)

        @hookimpl
        def predict(self) -> dict[str, object]:
            return {}

    runtimes.register(Classifier, name="classifier")
    (tmp_path / "a.classes").touch()
    shown = run("inspect", tmp_path / "a.classes").out
    assert "There is no default signature: a call must name one." in shown
    assert all(word in shown for word in ("[b]classes", "classify", "bytes", "any rank"))


@pytest.mark.parametrize(
    ("default", "sentence"),
    [("a", "The default is 'a': [it] is the first"), (None, "There is no default signature: [it] is the first")],
)
def test_why_a_signature_is_the_default_or_none_is_said(
    run: Run, runtimes: Runtimes, tmp_path: Path, default: str | None, sentence: str
) -> None:
    class Reasoned(Echo):
        @hookimpl
        def accepts(self, path: Path) -> bool:
            return path.suffix == ".reasoned"

        @hookimpl
        def signature(self, model: list[str]) -> Signatures:
            return Signatures({"a": Signature([], [])}, default, default_reason="[it] is the first")

    runtimes.register(Reasoned, name="reasoned")
    (tmp_path / "a.reasoned").touch()
    assert sentence in run("inspect", tmp_path / "a.reasoned").out
    assert json.loads(run("inspect", tmp_path / "a.reasoned", "--json").out)["default_reason"] == "[it] is the first"


def test_inputs_are_read_from_json_npz_and_stdin(run: Run, half: Path, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"x": [1, 2, NaN]}')
    np.savez(tmp_path / "in.npz", x=np.array([1, 2, np.nan], np.float32))
    for file in ("in.json", "in.npz"):
        assert run("predict", half, "--inputs", tmp_path / file).out == '{"y":[2.5,3.0,NaN]}\n'
    assert run("predict", half, "--inputs", "-", stdin=b'{"x": [1]}').out == '{"y":[2.5]}\n'


def test_a_signature_and_a_runtime_can_be_named(run: Run, half: Path, tmp_path: Path) -> None:
    other = tmp_path / "model.bin"
    other.write_text("half")
    (tmp_path / "in.json").write_text('{"x": [1]}')
    result = run("predict", other, "--inputs", tmp_path / "in.json", "--runtime", "half", "--signature", "both")
    assert json.loads(result.out) == {"y": [2.5], "z": [2.0]}
    assert json.loads(run("inspect", other, "--runtime", "half", "--json").out)["runtime"] == "half"


def test_every_command_takes_the_first_runtime_of_those_preferred(run: Run, runtimes: Runtimes, half: Path) -> None:
    runtimes.register(Both, name="both")
    refused = run("inspect", half).err
    assert "several runtimes accept" in refused
    assert "--prefer both,half" in refused
    for preferred in ("both,half", "half, both", "echo,both", "lost,half,both"):
        chosen = preferred.replace("echo,", "").replace("lost,", "").partition(",")[0]
        assert json.loads(run("inspect", half, "--prefer", preferred, "--json").out)["runtime"] == chosen
    assert json.loads(run("inspect", half, "--prefer", "half", "--runtime", "both", "--json").out)["runtime"] == "both"
    assert run("predict", half, "--inputs", "-", "--prefer", "both", stdin=b'{"x": [1]}').out == '{"y":[2.5]}\n'
    assert run("verify", half, "--against", half, "--prefer", "both").status == 0
    assert run("verify", half, "--against", half, "--prefer", "both", "--against-runtime", "half").status == 0
    wrong = run("inspect", half, "--prefer", "both,,half")
    assert (wrong.status, "is no list of runtimes; write their names with commas" in wrong.err) == (2, True)


def test_the_folder_of_a_model_is_its_default_version_for_every_command(run: Run, tmp_path: Path) -> None:
    toml = 'runtime = "half"\nsignature = "both"'
    root = write_models(
        tmp_path / "m", {"0/x.half": "half", "3/x.half": "half", "3/x.echo": "float32", "model.toml": toml}
    )
    (root / ".default").write_text("3")
    assert json.loads(run("inspect", root, "--json").out)["default"] == "both"
    assert json.loads(run("predict", root, "--inputs", "-", stdin=b'{"x": [2]}').out) == {"y": [3.0], "z": [4.0]}
    assert run("verify", root, "--against", root / "0/x.half", "--signature", "both").status == 0
    echo = json.loads(run("inspect", root, "--runtime", "echo", "--json").out)  # for which model.toml is not meant
    assert (echo["runtime"], echo["default"], echo["path"]) == ("echo", None, str(root / "3/x.echo"))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nope"], 2, "No such command 'nope'."),
        (["predict"], 2, "Missing argument 'PATH'."),
        (["predict", "{half}"], 2, "Missing option '--inputs'."),
        (["predict", "{half}", "--inputs", "{tmp}/no.json"], 2, "No such file or directory"),
        (["predict", "{half}", "--inptus", "-"], 2, "No such option: --inptus"),
        (["predict", "{tmp}/no.half", "--inputs", "-"], 1, "there is no file or folder at"),
        (["predict", "{tmp}", "--inputs", "-"], 1, "it holds 'corrupt.half', 'half.half'. Name one of them"),
        (["inspect", "{empty}"], 1, "no installed runtime accepts"),
        (["predict", "{half}", "--inputs", "-", "--signature", "no"], 1, "name one of: serving_default, both"),
        (
            ["predict", "{half}", "--inputs", "-", "--runtime", "no"],
            1,
            "there is no runtime 'no'; installed: echo, half",
        ),
        (["predict", "{half}", "--inputs", "-", "--runtime", "torn"], 1, "'torn' is installed but broken: ImportError"),
        (["inspect", "{corrupt}"], 1, "ValueError: cannot read"),
        (["inspect", "{tmp}/no.half"], 1, "there is no file or folder at"),
        (["serve", "{tmp}/no"], 1, "there is no file or folder at"),
        (["serve", "{empty}"], 1, "there is no model in"),
        (["serve", "{half}", "{half}"], 1, "two artifacts are version 1 of the model 'half'"),
        (["serve", "{half}", "--port", "70000"], 2, "Invalid value for '--port'"),
        (
            ["serve", "{half}", "--host", "198.51.100.1"],
            2,
            "198.51.100.1 is no address of this machine; choose another",
        ),
    ],
)
def test_a_wrong_use_or_a_bad_model_is_one_line_on_stderr(
    run: Run, half: Path, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "corrupt.half").write_text("torn")
    places = {"half": half, "tmp": tmp_path, "corrupt": tmp_path / "corrupt.half", "empty": tmp_path / "empty"}
    result = run(*(argument.format_map(places) for argument in arguments), stdin=b'{"x": [1]}')
    assert result.status == status
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert message in result.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the inputs are empty; write arrays by name"),
        (b"[1]", "the inputs are no JSON object; write arrays by name"),
        (b'{"x": 1', "not valid JSON"),
        (b"\x93NUMPY\x01\x00", "an .npy file holds an array without a name; write it with numpy.savez"),
        (b'{"x": ["a"]}', "input 'x' holds 'a' at [0]"),
        (b"PK\x03\x04 torn", "not a whole .npz"),
        (b'{"w": 1}', "input 'x' is missing"),
    ],
)
def test_inputs_that_are_wrong_say_how(run: Run, half: Path, content: bytes, message: str) -> None:
    result = run("predict", half, "--inputs", "-", stdin=content)
    assert result.status == 1
    assert message in result.err


def test_an_npz_of_python_objects_is_not_unpickled(run: Run, half: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.array([object], object))
    assert "plain arrays" in run("predict", half, "--inputs", tmp_path / "in.npz").err


def test_options_of_the_runtime_are_given_by_name(run: Run, runtimes: Runtimes, tmp_path: Path) -> None:
    given: list[Mapping[str, Any]] = []

    class Optional(HalfPlusTwo):
        @hookimpl
        def accepts(self, path: Path) -> bool:
            return path.suffix == ".optional"

        @hookimpl
        def load(self, path: Path, options: Mapping[str, Any]) -> float:
            given.append(options)
            return 2.0

    runtimes.register(Optional, name="optional")
    (tmp_path / "a.optional").touch()
    options = ["--option", "threads=2", "--option", 'tags=["a"]', "--option", "device=cpu"]
    assert run("inspect", tmp_path / "a.optional", *options).status == 0
    assert run("predict", tmp_path / "a.optional", *options, "--inputs", "-", stdin=b'{"x": [1]}').status == 0
    expected = {"threads": 2, "tags": ["a"], "device": "cpu"}
    assert given == [expected] * 2
    (tmp_path / "b.optional").touch()
    pair = [tmp_path / "a.optional", "--against", tmp_path / "b.optional"]
    assert run("verify", *pair, *options, "--against-option", "threads=1").status == 0
    assert given[2:] == [expected, {"threads": 1}]
    assert "is not NAME=VALUE" in run("inspect", tmp_path / "a.optional", "--option", "threads").err


def test_parameters_are_shown_and_given_by_name(run: Run, runtimes: Runtimes, tmp_path: Path) -> None:
    runtimes.register(Asked(), name="asked")
    (tmp_path / "a.asked").touch()
    row = next(line.split("  ") for line in run("inspect", tmp_path / "a.asked").out.splitlines() if "offset" in line)
    cells = [cell.strip() for cell in row if cell.strip()]
    assert cells == ["parameter", "offset", "a float from 0", "default 2.0; What is added."]
    described = json.loads(run("inspect", tmp_path / "a.asked", "--json").out)["signatures"]["serving_default"]
    assert described["parameters"] == {
        "offset": {"type": "float", "default": 2.0, "minimum": 0, "description": "What is added."}
    }
    arguments = ["predict", tmp_path / "a.asked", "--inputs", "-", "--parameter"]
    assert json.loads(run(*arguments, "offset=4", stdin=b'{"x": [2]}').out) == {"y": [5], "z": [4]}
    assert "there is no parameter 'top'" in run(*arguments, "top=1", stdin=b'{"x": [2]}').err
    assert "--parameter 'top' is not NAME=VALUE, such as temperature=0.5" in run(*arguments, "top").err


def test_outputs_that_are_no_text_are_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b.echo").write_text("object")
    np.savez(tmp_path / "in.npz", x=np.array([b"\xff"]))
    result = run("predict", tmp_path / "b.echo", "--inputs", tmp_path / "in.npz", "--signature", "object")
    assert (result.status, "output 'x' holds bytes that are not UTF-8" in result.err) == (1, True)


def test_debug_shows_the_traceback(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = run("inspect", tmp_path / "no.half", "--debug")
    assert "error: there is no file" in result.err
    assert caplog.records[-1].exc_info
    run("inspect", tmp_path / "no.half")
    assert len(caplog.records) == 1


def test_an_interrupted_command_ends_quietly(run: Run, half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mlbuffet.cli.commands.load", interrupted)
    assert run("inspect", half) == Result(130, "", "")


def test_the_module_runs_as_a_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import runpy

    monkeypatch.setattr(sys, "argv", ["mlbuffet", "--version"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("mlbuffet", run_name="__main__")
    assert exit_.value.code == 0
    assert "1.0.0" in capsys.readouterr().out


def test_two_models_are_compared(run: Run, half: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.half"
    other.write_text("half")
    result = run("verify", half, "--against", other)
    assert result.status == 0
    assert "agrees" in result.out
    result = run(
        "verify", half, "--against", other, "--signature", "both", "--inputs", "-", "--json", stdin=b'{"x": [1]}'
    )
    compared = json.loads(result.out)
    assert compared["agree"]
    assert [output["output"] for output in compared["outputs"]] == ["y", "z"]


def test_models_that_differ_end_with_exit_code_1(run: Run, half: Path, tmp_path: Path, runtimes: Runtimes) -> None:
    class OffByOne(HalfPlusTwo):
        @hookimpl
        def predict(self, model: float, signature: str, inputs: Tensors) -> Tensors:
            return {"y": inputs["x"] / 2 + 3}

    runtimes.register(OffByOne, name="off")
    result = run("verify", half, "--against", half, "--runtime", "half", "--against-runtime", "off")
    assert (result.status, result.err) == (1, "")
    assert "1.00e+00" in result.out
    assert "differs" in result.out
    assert run("verify", half, "--against", half, "--runtime=half", "--against-runtime=off", "--atol=2").status == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_queue", -1), ("max_queue", 10**6 + 1), ("max_concurrency", 0), ("max_concurrency", 1001)],
)
def test_a_limit_is_refused_on_the_command_line_where_a_models_file_may_not_have_it(
    run: Run, half: Path, tmp_path: Path, option: str, value: int
) -> None:
    flag = "--" + option.replace("_", "-")
    refused = run("serve", half, flag, value)
    assert refused.status == 2
    assert f"Invalid value for '{flag}': {value} is not in the range" in refused.err
    (tmp_path / "model.toml").write_text(f"[scheduling]\n{option} = {value}")
    with pytest.raises(InvalidConfiguration, match=option):
        read_configuration(tmp_path / "model.toml")


def test_what_a_file_can_do_is_shown_without_loading_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.half").write_text("half")
    found = run("inspect", tmp_path / "good.half", "--security")
    assert (found.status, found.err) == (0, "")
    assert found.out == "half: nothing in it runs code of its maker, or reaches files or other machines\n"
    (tmp_path / "m.pkl").write_bytes(b"cposix\nsystem\n(S'id'\ntR.")
    found = run("inspect", tmp_path / "m.pkl", "--security")
    assert found.status == 1
    assert "the pickle 'm.pkl' calls posix.system when it is read" in found.out
    as_json = json.loads(run("inspect", tmp_path / "m.pkl", "--security", "--json").out)
    text = "the pickle 'm.pkl' calls posix.system when it is read"
    assert as_json == {
        "path": str(tmp_path / "m.pkl"),
        "runtime": None,
        "risks": [{"capability": "code", "text": text}],
    }
    nothing = run("inspect", tmp_path, "--security", "--runtime", "none")
    assert nothing.status == 1
    assert "no runtime 'none'" in nothing.err

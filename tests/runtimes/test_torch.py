"""The PyTorch runtime answers what PyTorch itself answers, to the last bit, and keeps damaged files from it."""

import json
import pickle
import shutil
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="`make runtimes` installs it")

from torch import nn
from torch.export import Dim
from torch.utils import _pytree as pytree

import mlbuffet
from mlbuffet import InvalidInput, InvalidOptions, LoadFailed, Runtimes
from mlbuffet.hookspecs import Risk
from mlbuffet.loading import scan
from mlbuffet.tensors import Signature
from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_torch._arrays import array_of
from mlbuffet_torch._function import Function
from mlbuffet_torch.plugin import TorchRuntime

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = torch.Tensor

torch.manual_seed(0)
torch.set_num_threads(1)
BATCH, TIME, HALF = Dim("batch"), Dim("time"), Dim("half", max=64)
FIRST = {0: BATCH}
X = torch.randn(3, 4)
IDS = torch.tensor([[1, 2, 0], [2**40 % 9, 8, 3]])
ODD = torch.tensor([[float("nan"), float("inf"), -0.0, 1e-45]] * 2)


def module(forward: Callable[..., Any], **parts: Any) -> Any:
    made: Any = type("Made", (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        if isinstance(part, torch.Tensor):
            made.register_buffer(name, part)
        else:
            setattr(made, name, part)
    return made.eval()


class Case(NamedTuple):
    """What is exported, and with which arguments, dimensions and named arguments."""

    model: Any
    arguments: tuple[Any, ...]
    dimensions: tuple[Any, ...] | None = None
    named: Mapping[str, Any] = MappingProxyType({})


def scored(self: Any, x: Any) -> Any:
    return {"label": self.l(x).argmax(1), "scores": self.l(x).softmax(1)}


def attended(self: Any, ids: Any, mask: Any) -> Any:
    return self.encoder(self.words(ids), src_key_padding_mask=mask)


def added(_: Any, tables: Any, offset: Any, *, weight: Any) -> Any:
    return {"sums": (tables["a"] + offset, tables["b"] * weight), "0": tables["a"].amax()}


def branched(_: Any, x: Any) -> Any:
    return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))


CASES = {
    "a classifier": lambda: Case(module(scored, l=nn.Linear(4, 3)), (X,), (FIRST,)),
    "one size alone": lambda: Case(nn.Linear(4, 3), (X,)),
    "10 000 features": lambda: Case(nn.Linear(10_000, 2), (torch.randn(3, 10_000),), (FIRST,)),
    "a convolution": lambda: Case(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(),
        (torch.randn(2, 3, 8, 9),),
        ({0: BATCH, 2: Dim("high", min=4), 3: Dim("wide", min=4)},),
    ),
    "a transformer with a mask": lambda: Case(
        module(attended, words=nn.Embedding(9, 8), encoder=nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)),
        (IDS, IDS == 0),
        ({0: BATCH, 1: TIME}, {0: BATCH, 1: TIME}),
    ),
    "an LSTM": lambda: Case(nn.LSTM(4, 5, batch_first=True), (torch.randn(2, 6, 4),), ({0: BATCH},)),
    "bfloat16": lambda: Case(nn.Linear(4, 3).bfloat16(), (X.bfloat16(),), (FIRST,)),
    "float8 and float16": lambda: Case(
        module(lambda _, x: (x.to(torch.float8_e5m2), x.to(torch.float8_e4m3fn), x.half())), (X,), (FIRST,)
    ),
    "complex numbers": lambda: Case(module(lambda _, x: torch.fft.fft(x).conj()), (X,), (FIRST,)),
    "not a number, and infinity": lambda: Case(module(lambda _, x: (x, x.isnan(), x / 0)), (ODD,), (FIRST,)),
    "wide integers": lambda: Case(
        module(lambda _, x, y: (x + 1, x // 3, y)), (torch.tensor([2**62, -(2**63)]), torch.tensor([255]).byte())
    ),
    "unsigned integers": lambda: Case(module(lambda _, x: x.view(-1)), (torch.tensor([2**16 - 1]).to(torch.uint16),)),
    "nothing and numbers among outputs": lambda: Case(
        module(lambda _, x: (x.argmax(1), [x, None, x.shape[0], 7])), (X,), (FIRST,)
    ),
    "nested and named arguments": lambda: Case(
        module(added), ({"a": X, "b": X[0]}, torch.tensor(0.5)), None, {"weight": torch.ones(())}
    ),
    "numbers and nothing among arguments": lambda: Case(
        module(lambda _, x, k, mask=None, *, flag=True: x * k if flag else mask), (X, 3, None), None, {"flag": True}
    ),
    "an integer that may vary": lambda: Case(module(lambda _, x, k: x[:, :k]), (X, 3), (FIRST, Dim.DYNAMIC)),
    "an input, a weight and a view as outputs": lambda: Case(
        module(lambda self, x: (x, self.w, x[:, ::2], x.expand(2, -1, 4)), w=torch.arange(3.0)), (X,), (FIRST,)
    ),
    "a branch": lambda: Case(module(branched), (X,), (FIRST,)),
    "as many rows as there are values": lambda: Case(module(lambda _, x: x.nonzero()), (X,), (FIRST,)),
    "half as many": lambda: Case(
        module(lambda _, x, y: x[::2] + y), (torch.randn(8), torch.randn(4)), ({0: 2 * HALF}, {0: HALF})
    ),
    "in double": lambda: Case(nn.GRU(4, 3).double(), (torch.randn(2, 1, 4).double(),)),
    "no arguments": lambda: Case(module(lambda self: self.w * 2, w=X.clone()), ()),
}


def export(case: Case, path: Path) -> Path:
    dimensions = case.dimensions and (*case.dimensions, *(None for _ in case.named))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of its own modules
        program = torch.export.export(case.model, case.arguments, dict(case.named), dynamic_shapes=dimensions)
        torch.export.save(program, path)
    return path


def inputs_for(signature: mlbuffet.Signature, values: Any) -> dict[str, NDArray[Any]]:
    """The values among the arguments that are inputs, by name: tensors, and what was a number of a program's inputs."""
    tensors = [one for one in pytree.tree_leaves(values) if isinstance(one, torch.Tensor)]
    others = [one for one in pytree.tree_leaves(values) if not isinstance(one, torch.Tensor)]
    given = [tensors.pop(0) if spec.shape else (tensors or others).pop(0) for spec in signature.inputs.values()]
    return {
        name: array_of(value, spec.dtype) for (name, spec), value in zip(signature.inputs.items(), given, strict=True)
    }


def check_equal(answer: mlbuffet.Tensors, own: Any) -> None:
    leaves = [leaf for leaf in pytree.tree_leaves(own) if leaf is not None]
    for array, leaf in zip(answer.values(), leaves, strict=True):
        expected = array_of(leaf, array.dtype)
        assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
        assert array.tobytes() == expected.tobytes()


def check_against_own(model: mlbuffet.Model, own: Any, arguments: Any, named: Mapping[str, Any]) -> None:
    """All rows, one and none, where there are rows; what PyTorch itself cannot compute is `InvalidInput`."""
    signature = model.signatures["serving_default"]
    has_rows = all(spec.shape[:1] == ("batch",) for spec in signature.inputs.values() if spec.shape)
    for some in (slice(None), slice(1), slice(0)) if has_rows else ():
        those = pytree.tree_map_only(torch.Tensor, lambda tensor, some=some: tensor[some], (arguments, named))
        inputs = inputs_for(signature, those)
        with torch.inference_mode():
            try:
                expected = own(*those[0], **those[1])
            except (AssertionError, RuntimeError):
                with pytest.raises(InvalidInput):
                    model.predict(inputs)
            else:
                check_equal(model.predict(inputs), expected)
    with torch.inference_mode():
        check_equal(model.predict(inputs_for(signature, (arguments, named))), own(*arguments, **named))


@pytest.mark.parametrize("name", CASES)
def test_a_program_answers_what_pytorch_answers(tmp_path: Path, name: str) -> None:
    case = CASES[name]()
    path = export(case, tmp_path / "m.pt2")
    with mlbuffet.load(path) as model:
        check_against_own(model, torch.export.load(path).module(), case.arguments, case.named)


def test_dimensions_that_must_be_equal_have_one_name(tmp_path: Path) -> None:
    with mlbuffet.load(export(CASES["a transformer with a mask"](), tmp_path / "m.pt2")) as model:
        assert str(model.signatures["serving_default"].inputs["ids"]) == "ids: int64 (batch, ids_1)"
        assert str(model.signatures["serving_default"].outputs["output_0"]) == "output_0: float32 (batch, ids_1, 8)"
        with pytest.raises(InvalidInput, match="input 'mask' has 3 for the dimension 'ids_1', and input 'ids' has 4"):
            model.predict({"ids": np.zeros((1, 4), np.int64), "mask": np.zeros((1, 3), bool)})
        with pytest.raises(InvalidInput, match=r"cannot take the inputs 'ids' of shape \(1, 1\).*out of its range"):
            model.predict({"ids": np.full((1, 1), 9), "mask": np.zeros((1, 1), bool)})


def test_outputs_are_named_after_keys(tmp_path: Path) -> None:
    names = {}
    for name in ("nested and named arguments", "nothing and numbers among outputs"):
        with mlbuffet.load(export(CASES[name](), tmp_path / "m.pt2")) as model:
            signature = model.signatures["serving_default"]
            names[name] = [*signature.inputs], [*signature.outputs]
    assert list(names.values()) == [
        (["tables_a", "tables_b", "offset", "weight"], ["sums_0", "sums_1", "0"]),
        (["x"], ["output_0", "output_1_0", "output_1_2", "output_1_3"]),
    ]


@pytest.mark.parametrize(
    ("sizes", "rule"),
    [({"x": 7, "y": 3}, r"x.size\(\)\[0\]\) // 2 == y.size"), ({"x": 130, "y": 65}, r"x.size\(\)\[0\] <= 128")],
)
def test_a_rule_of_sizes_is_told(tmp_path: Path, sizes: dict[str, int], rule: str) -> None:
    inputs = {name: np.zeros(size, np.float32) for name, size in sizes.items()}
    refused = pytest.raises(InvalidInput, match=f"the model was exported for inputs with .*{rule}")
    with mlbuffet.load(export(CASES["half as many"](), tmp_path / "m.pt2")) as model, refused:
        model.predict(inputs)


SCRIPTS: dict[str, tuple[Callable[[], Any], tuple[Any, ...]]] = {
    "a convolution": (lambda: CASES["a convolution"]().model, (torch.randn(2, 3, 8, 9),)),
    "a classifier": (lambda: CASES["a classifier"]().model, (X,)),
    "an LSTM": (lambda: nn.LSTM(4, 5), (torch.randn(2, 6, 4),)),
    "several inputs": (lambda: module(lambda _, x, y, z: (x[y] * z, y)), (X, torch.tensor([2, 0]), torch.tensor(0.5))),
    "bfloat16": (lambda: nn.Linear(4, 3).bfloat16(), (X.bfloat16(),)),
    "10 000 features": (lambda: nn.Linear(10_000, 2), (torch.randn(2, 10_000),)),
    "an input and a weight as outputs": (lambda: module(lambda self, x: (x, self.w), w=torch.arange(3.0)), (X,)),
}


def save_script(script: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch would have everybody export
        script().save(path)
    return path


def own_script(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(path)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_traced_model_answers_what_pytorch_answers(tmp_path: Path, name: str) -> None:
    make, arguments = SCRIPTS[name]
    path = save_script(lambda: torch.jit.trace(make().eval(), arguments, strict=False), tmp_path / "m.pt")
    with mlbuffet.load(path) as model:
        check_against_own(model, own_script(path), arguments, {})


class Texts(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(300, 4)

    def forward(
        self,
        texts: list[str],
        weights: Tensor,
        times: int = 2,
        scale: Tensor | None = None,
        unknown: dict[str, Tensor] | None = None,
    ) -> tuple[dict[str, Tensor], list[str], int]:
        rows = [self.words(torch.tensor([ord(letter) % 300 for letter in text] + [0])).sum(0) for text in texts]
        sums = torch.stack(rows) * weights * times
        if scale is not None:
            sums.mul_(scale)
        weights.zero_()
        return {"sums": sums, "лучший": sums.argmax(1)}, [text + text for text in texts], len(texts)


WEIGHTS = {"name": "weights", "dtype": "float32", "shape": ["batch", 1]}
SCALE = {"name": "scale", "dtype": "float32", "shape": []}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_script(lambda: torch.jit.script(Texts().eval()), tmp_path_factory.mktemp("texts") / "m.pt")


def test_a_scripted_model_takes_texts_numbers_and_what_may_be_left_out(texts: Path) -> None:
    written = ["grüße", "Ōsaka", "γεια σου", ""]
    ones = np.ones((4, 1), np.float32)
    with mlbuffet.load(texts, options={"inputs": [WEIGHTS, SCALE]}) as model:
        specs = model.signatures["serving_default"]
        assert [str(spec) for spec in specs.inputs.values()] == [
            "texts: bytes (any,)",
            "weights: float32 (batch, 1)",
            "times: int64 () optional",
            "scale: float32 () optional",
        ]
        given = {"texts": written, "weights": ones}
        for more in ({}, {"times": 3}, {"scale": np.float32(0.5)}):
            answer = model.predict({**given, **more})
            tensors = {name: torch.tensor(value) if name == "scale" else value for name, value in more.items()}
            expected = own_script(texts)(written, torch.ones(4, 1), **tensors)
            check_equal({name: answer[name] for name in ("output_0_sums", "output_0_лучший")}, expected[0])
            assert answer["output_1"].tolist() == [(text + text).encode() for text in written]
            assert answer["output_2"] == 4
    assert ones.all()


def test_a_scripted_model_whose_inputs_are_unknown_says_what_to_declare(texts: Path) -> None:
    with pytest.raises(
        LoadFailed, match=r"which dtype and shape the input 'weights' is.*option inputs, such as \[\{name"
    ):
        mlbuffet.load(texts)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"inputs": [{**WEIGHTS, "name": "w"}]}, "inputs names 'w', and the arguments of forward are texts, weights"),
        ({"inputs": [{**WEIGHTS, "dtype": "float31"}]}, "float31"),
        ({"inputs": [{**WEIGHTS, "shape": ["?"]}]}, "neither None nor a size nor a name"),
        ({"device": "cuda:77"}, "device 'cuda:77' is none that PyTorch"),
        ({"device": "meta"}, "device 'meta' is none that PyTorch"),
        ({"devices": "cpu"}, "devices"),
    ],
)
def test_options_that_do_not_fit_are_refused(texts: Path, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidOptions, match=problem):
        mlbuffet.load(texts, options=options)


def test_an_exported_program_takes_no_declaration(exported: Path) -> None:
    with pytest.raises(InvalidOptions, match="says what it takes; leave out inputs"):
        mlbuffet.load(exported, options={"inputs": [WEIGHTS]})


class Tables(nn.Module):  # type: ignore[misc]
    def forward(self, tables: dict[str, Tensor]) -> Tensor:
        return tables["a"]


class Unnamed(nn.Module):  # type: ignore[misc]
    @torch.jit.export  # type: ignore[untyped-decorator]
    def run(self, x: Tensor) -> Tensor:
        return x


UNSERVABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "a dict": (lambda: torch.jit.script(Tables()), r"the argument 'tables' of forward is a Dict\(?\[?str, Tensor"),
    "no forward": (lambda: torch.jit.script(Unnamed()), "it has no method forward"),
    "a sparse output": (lambda: torch.jit.trace(module(lambda _, x: x.to_sparse()), X), "is sparse or quantized"),
    "half complex": (
        lambda: torch.jit.trace(module(lambda _, x: torch.complex(x.half(), x.half())), X, check_trace=False),
        "is of torch.complex32, which no client",
    ),
}


@pytest.mark.parametrize("name", UNSERVABLE)
@pytest.mark.filterwarnings("ignore")
def test_what_no_client_could_send_or_read_is_refused(tmp_path: Path, name: str) -> None:
    make, reason = UNSERVABLE[name]
    make().save(tmp_path / "m.pt")
    with pytest.raises(LoadFailed, match=reason):
        mlbuffet.load(tmp_path / "m.pt")


def test_a_model_that_fails_with_the_declared_inputs_is_refused(texts: Path) -> None:
    with pytest.raises(LoadFailed, match=r"fails when it is tried with zeros for .*weights: float32") as caught:
        mlbuffet.load(texts, options={"inputs": [{**WEIGHTS, "shape": [7, 7]}]})
    assert "Traceback" not in str(caught.value)


def counted(self: Any, x: Any) -> Any:
    self.count.add_(1)
    return x + self.count


def test_models_that_change_with_each_call_are_refused(tmp_path: Path) -> None:
    case = Case(module(counted, count=torch.zeros(())), (X,))
    script = save_script(lambda: torch.jit.trace(case.model, X), tmp_path / "m.pt")
    training = Case(nn.BatchNorm1d(4), (X,))
    for path in (script, export(case, tmp_path / "m.pt2"), export(training, tmp_path / "n.pt2")):
        with pytest.raises(LoadFailed, match=r"each call changes '.*' in it"):
            mlbuffet.load(path)


def test_a_model_that_writes_into_its_input_leaves_that_of_the_caller(tmp_path: Path) -> None:
    writes = module(lambda _, x: x[:, 1:].mul_(2))
    traced = save_script(lambda: torch.jit.trace(writes, X.clone()), tmp_path / "m.pt")
    x = np.ones((3, 4), np.float32)
    x.flags.writeable = False
    for path in (traced, export(Case(writes, (X.clone(),)), tmp_path / "m.pt2")):
        with mlbuffet.load(path) as model:
            assert model.predict({"x": x})["output_0"].tolist() == [[2.0] * 3] * 3
            assert x.all()


def test_several_programs_in_one_file_are_signatures(tmp_path: Path) -> None:
    from torch.export.pt2_archive._package import package_pt2

    programs = {name: torch.export.export(nn.Linear(4, size), (X,)) for name, size in [("model", 2), ("embed", 5)]}
    package_pt2(str(tmp_path / "m.pt2"), exported_programs=programs)
    with mlbuffet.load(tmp_path / "m.pt2") as model:
        assert (model.signatures.default, set(model.signatures)) == ("serving_default", {"serving_default", "embed"})
        check_equal(model.predict({"input": X.numpy()}, signature="embed"), programs["embed"].module()(X))
    package_pt2(str(tmp_path / "n.pt2"), exported_programs={"a": programs["model"], "b": programs["embed"]})
    with mlbuffet.load(tmp_path / "n.pt2") as model:
        assert model.signatures.default is None


@dataclass
class Anything:
    x: Any


def test_pickles_are_loaded_for_those_who_trust_them(tmp_path: Path) -> None:
    export(Case(module(lambda _, x: x + 1), (X,)), tmp_path / "m.pt2")
    torch.save(((X, Anything(1)), {}), tmp_path / "pickle")
    with zipfile.ZipFile(tmp_path / "m.pt2") as source, zipfile.ZipFile(tmp_path / "n.pt2", "w") as target:
        for name in source.namelist():
            is_sample = name.endswith("sample_inputs/model.pt")
            target.writestr(name, (tmp_path / "pickle").read_bytes() if is_sample else source.read(name))
    with pytest.raises(LoadFailed, match=r"holds a pickle of Python objects.*trust_code = true"):
        mlbuffet.load(tmp_path / "n.pt2")
    assert TorchRuntime.client_options == {"inputs"}


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def listed(path_name: str, *, use_pickle: bool) -> str:
    """The list of weights or constants with one, of no values."""
    meta = {
        "dtype": 1,
        "sizes": [{"as_int": 1}],
        "requires_grad": False,
        "device": {"type": "cpu", "index": None},
        "strides": [{"as_int": 1}],
        "storage_offset": {"as_int": 0},
        "layout": 7,
    }
    one: dict[str, Any] = {"path_name": path_name, "is_param": False, "use_pickle": use_pickle, "tensor_meta": meta}
    return json.dumps({"config": {"w": one}})


WEIGHT_LIST, CONSTANT_LIST = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
HIDDEN: dict[str, dict[str, str | None]] = {
    "a pickle among constants": {CONSTANT_LIST: listed("opaque_obj_0", use_pickle=False)},
    "a pickle among weights": {WEIGHT_LIST: listed("custom_obj_0", use_pickle=True)},
    "an unknown kind of constant": {CONSTANT_LIST: listed("other_0", use_pickle=False)},
    "a list that begins with a space": {WEIGHT_LIST: " " + listed("weight_0", use_pickle=True)},
    "names in capitals": {"data/sample_inputs/model.pt": None, "data/sample_inputs/MODEL.PT": "saved"},
    "names in capitals beside": {"data/weights/Model_weights_config.JSON": listed("weight_0", use_pickle=True)},
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(Case(module(lambda _, x: x + 1), (X,)), tmp_path_factory.mktemp("plain") / "m.pt2")


def changed(source: Path, target: Path, entries: Mapping[str, str | bytes | None]) -> Path:
    """``source`` with other entries; ``None`` leaves one out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            if name.removeprefix(f"{root}/") not in entries:
                new.writestr(name, old.read(name))
        for name, content in entries.items():
            if content is not None:
                new.writestr(f"{root}/{name}", content)
    return target


def risks_in(path: Path, **options: Any) -> list[Risk]:
    runtimes = Runtimes()
    runtimes.register(TorchRuntime, name="torch")
    return scan(path, runtimes, options=options).risks


def test_plain_models_have_no_risks(plain: Path, texts: Path, tmp_path: Path) -> None:
    with_weights = export(Case(nn.Linear(4, 2), (X,)), tmp_path / "m.pt2")
    traced = save_script(lambda: torch.jit.trace(nn.Linear(4, 2), X), tmp_path / "m.pt")
    assert [risks_in(path) for path in (plain, with_weights, texts, traced)] == [[]] * 4


@pytest.mark.parametrize("way", HIDDEN)
def test_no_pickle_gets_past_the_check(plain: Path, tmp_path: Path, way: str) -> None:
    mark = tmp_path / "ran"
    torch.save(Touches(mark), tmp_path / "saved")
    saved = (tmp_path / "saved").read_bytes()
    held = {
        **{f"data/{folder}/custom_obj_0": saved for folder in ("weights", "constants")},
        "data/weights/weight_0": saved,
        "data/constants/opaque_obj_0": pickle.dumps(Touches(mark)),
    }
    entries = {name: saved if content == "saved" else content for name, content in HIDDEN[way].items()}
    path = changed(plain, tmp_path / "n.pt2", {**held, **entries})
    assert risks_in(path) == [("code", "it holds a pickle of Python objects, which runs whatever code is in it")]
    with pytest.raises(LoadFailed, match=r"holds a pickle of Python objects|twice; capitals"):
        mlbuffet.load(path)
    assert not mark.exists()


CALL = "__import__('pathlib').Path('PATH').touch()"


def in_guards(program: Any) -> None:
    program["guards_code"] = [CALL]


def in_sizes(program: Any) -> None:
    program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0] = {"as_expr": {"expr_str": CALL, "hint": None}}


def in_the_sizes_of_a_tensor_with_a_name_of_the_format(program: Any) -> None:
    in_sizes(program)
    graph = program["graph_module"]["graph"]
    graph["tensor_values"]["metadata"] = graph["tensor_values"].pop("x")
    graph["inputs"][0]["as_tensor"]["name"] = "metadata"


def in_names(program: Any) -> None:
    program["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = f"x=[{CALL}]"


def in_operators(program: Any) -> None:
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


PUT = [in_guards, in_sizes, in_the_sizes_of_a_tensor_with_a_name_of_the_format, in_names, in_operators]


@pytest.mark.parametrize("put", PUT)
def test_no_python_code_gets_past_the_check(plain: Path, tmp_path: Path, put: Callable[[Any], None]) -> None:
    with zipfile.ZipFile(plain) as archive:
        name = next(name for name in archive.namelist() if name.endswith("models/model.json"))
        program = json.loads(archive.read(name))
    put(program)
    content = json.dumps(program).replace("PATH", str(tmp_path / "ran"))
    path = changed(plain, tmp_path / "n.pt2", {"models/model.json": content})
    assert [risk.capability for risk in risks_in(path)] == ["files" if put is in_operators else "code"]
    with pytest.raises(LoadFailed, match=r"its program .*trust_code = true"):
        mlbuffet.load(path)
    assert not (tmp_path / "ran").exists()


def test_texts_of_arguments_and_names_of_outputs_may_be_any(tmp_path: Path) -> None:
    def forward(_: Any, x: Any) -> Any:
        torch._assert_async(x.isfinite().all(), "x has 'inf' (or \"nan\"); it may not")
        return {"a's (sum)": torch.einsum("ij,kj->ik", x, x)}

    with mlbuffet.load(export(Case(module(forward), (X,)), tmp_path / "m.pt2")) as model:
        assert list(model.predict({"x": X.numpy()})) == ["a's (sum)"]


def test_an_error_that_is_not_due_to_the_inputs_is_raised_as_it_is() -> None:
    failed = RuntimeError("out of memory")

    def compute(_: Any) -> Any:
        raise failed

    with pytest.raises(RuntimeError) as raised:
        Function(Signature([], []), [], compute, [])({})
    assert raised.value is failed
    assert failed.__cause__ is None


def checkpoint(path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), path)


def old_checkpoint(path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), path, _use_new_zipfile_serialization=False)


def old_export(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
        archive.writestr("version", "5.1")


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "m.pth": (checkpoint, "it is a checkpoint .*torch.export.save"),
    "m.ckpt": (old_checkpoint, "it is a checkpoint"),
    "m.pt2": (old_export, "by a version of PyTorch before 2.8; save it again"),
    "n.pt2": (lambda path: path.write_bytes(b"PK\3\4cut"), "the .pt2 file is empty, cut short or damaged"),
    "m.pt": (Path.touch, "the .pt file is empty, cut short or damaged"),
    "m.bin": (lambda path: export(CASES["one size alone"](), path), "under another name: rename it"),
}


@pytest.mark.parametrize("runtime", [None, "torch"])
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_served_is_told(tmp_path: Path, name: str, runtime: str | None) -> None:
    make, reason = REFUSED[name]
    make(tmp_path / name)
    with pytest.raises(LoadFailed, match=reason):
        mlbuffet.load(tmp_path / name, runtime=runtime)


@pytest.mark.parametrize("content", [b"[net]\nbatch=64\n", b"PK\5\6" + bytes(18)])
def test_the_files_of_others_are_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.pt").write_bytes(content)
    assert TorchRuntime().accepts(tmp_path / "m.pt") is False
    assert TorchRuntime().explain(tmp_path / "m.pt") is None


def middles(path: Path) -> Iterator[int]:
    """Where the middle byte of each entry of a zip file is."""
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            lengths = struct.unpack_from("<HH", content, entry.header_offset + 26)
            if entry.compress_size:
                yield entry.header_offset + 30 + sum(lengths) + entry.compress_size // 2


@pytest.mark.parametrize("name", ["m.pt2", "m.pt"])
def test_a_file_that_is_cut_short_or_changed_anywhere_is_refused(tmp_path: Path, texts: Path, name: str) -> None:
    whole = export(CASES["a classifier"](), tmp_path / "whole.pt2") if name == "m.pt2" else texts
    content = whole.read_bytes()
    cut = [content[:length] for length in range(0, len(content), 211)]
    changed = [content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :] for at in middles(whole)]
    for damaged in (*cut, *changed):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(LoadFailed, match="damaged"):
            mlbuffet.load(tmp_path / name, runtime="torch")


ONE_KERNEL = {
    "cpp.vec_isa_ok": False,  # else the compiler runs several times, to see what the processor can do
    "cpp.simdlen": 1,
    "compile_threads": 1,
    "aot_inductor.precompile_headers": False,
    "aot_inductor.compile_wrapper_opt_level": "O0",
    "aot_inductor.check_lowerbound": False,
}
COMPILED: dict[str, Any] = {
    "trust_code": True,
    "inputs": [
        {"name": "x", "dtype": "float32", "shape": ["batch", 4]},
        {"name": "scale", "dtype": "float32", "shape": []},
    ],
}


def scaled(self: Any, x: Any, *, scale: Any) -> Any:
    return {"sums": self.l(x) * scale, "x": x}


def scaled_program() -> Any:
    sizes = {"x": {0: Dim("batch", max=64)}, "scale": None}
    return torch.export.export(
        module(scaled, l=nn.Linear(4, 3)), (X,), {"scale": torch.tensor(2.0)}, dynamic_shapes=sizes
    )


@pytest.fixture(scope="session")
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of AOTInductor, compiled once for this version of PyTorch: it takes long."""
    if shutil.which("g++") is None:
        pytest.skip("AOTInductor needs a C++ compiler")
    cache: pytest.Cache | None = getattr(request.config, "cache", None)  # not with -p no:cacheprovider
    name = f"aotinductor-{torch.__version__}"
    kept = (cache.mkdir(name) if cache else tmp_path_factory.mktemp(name)) / "m.pt2"
    if not kept.exists():
        made = tmp_path_factory.mktemp("compiled") / "m.pt2"
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(made.parent))
            torch._inductor.aoti_compile_and_package(
                scaled_program(), package_path=str(made), inductor_configs=ONE_KERNEL
            )
        made.replace(kept)
    return kept


def own_compiled(path: Path) -> Any:
    for_one_thread = False
    return torch._C._aoti.AOTIModelPackageLoader(str(path), "model", for_one_thread, 1, -1)


def test_a_compiled_model_answers_what_pytorch_answers(compiled: Path) -> None:
    own = own_compiled(compiled)
    scale = torch.tensor(0.3)
    with mlbuffet.load(compiled, options=COMPILED) as model:
        assert [str(spec) for spec in model.signatures["serving_default"].outputs.values()] == [
            "sums: float32 (batch, 3)",
            "x: float32 (batch, 4)",
        ]
        for rows in (X, X[:1], ODD, torch.randn(64, 4), X[:0]):
            answer = model.predict({"x": rows.numpy(), "scale": scale.numpy()})
            check_equal(answer, own.run([rows, scale]))
        with pytest.raises(InvalidInput, match=r"input 'x' does not fit the compiled model: .* expected to be <= 64"):
            model.predict({"x": np.zeros((65, 4), np.float32), "scale": np.float32(1)})


def test_the_machine_code_of_a_compiled_model_is_a_risk(compiled: Path) -> None:
    assert risks_in(compiled) == [("code", "it holds machine code, which may do whatever a program may")]
    assert risks_in(compiled, trust_code=True) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"trust_code": False}, "it holds machine code.*trust_code = true"),
        ({"inputs": []}, "does not say what it takes; give its tensors in their order in the option inputs"),
        ({"inputs": COMPILED["inputs"][:1]}, "expected inputs vector size to be 2, but got 1"),
        ({"inputs": [{"name": "x", "dtype": "float64", "shape": [2, 4]}, COMPILED["inputs"][1]]}, "unmatched dtype"),
        ({"inputs": [{"name": "x", "dtype": "float32", "shape": [2]}, COMPILED["inputs"][1]]}, "unmatched dim"),
    ],
)
def test_a_compiled_model_is_held_to_what_is_declared(compiled: Path, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(LoadFailed, match=problem):
        mlbuffet.load(compiled, options={**COMPILED, **options})


def test_models_are_served_over_http_and_by_the_command_line(
    tmp_path: Path, texts: Path, serve: Any, installed: mlbuffet.Runtimes
) -> None:
    case = CASES["a classifier"]()
    own = torch.export.load(export(case, tmp_path / "iris.pt2")).module()(X)
    (tmp_path / "texts").mkdir()
    shutil.copy(texts, tmp_path / "texts" / "m.pt")
    declared = 'inputs = [{name = "weights", dtype = "float32", shape = ["batch", 1]}]\n'
    (tmp_path / "texts" / "model.toml").write_text("[options]\n" + declared)
    rows = {"name": "x", "shape": [3, 4], "datatype": "FP32", "data": X.tolist()}
    row = {"texts": "γεια", "weights": [1.0]}
    with serve(tmp_path, runtimes=installed) as client:
        answer = client.post("/v2/models/iris/infer", json={"inputs": [rows]}).json()
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        assert np.array_equal(np.float32(outputs["scores"]).reshape(3, 3), own["scores"].detach().numpy())
        asked = client.post("/v1/models/iris:predict", json={"instances": X.tolist()}).json()
        assert [one["label"] for one in asked["predictions"]] == own["label"].tolist()
        inputs = {"inputs": {name: [value] for name, value in row.items()}}
        answer = client.post("/v1/models/texts:predict", json=inputs).json()
        assert answer["outputs"]["output_1"] == ["γειαγεια"]
    (tmp_path / "in.json").write_text(json.dumps({"x": X.tolist()}))
    command = ["-m", "mlbuffet", "predict", str(tmp_path / "iris.pt2"), "--inputs", str(tmp_path / "in.json")]
    ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert json.loads(ran.stdout)["label"] == own["label"].tolist()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(CASES["a classifier"](), tmp_path_factory.mktemp("exported") / "m.pt2")


class TestTorch(RuntimeConformance):
    leak_rounds = 8  # a load takes a tenth of a second

    @pytest.fixture
    def plugin(self) -> TorchRuntime:
        return TorchRuntime()

    @pytest.fixture
    def artifact(self, exported: Path) -> Artifact:
        own = torch.export.load(exported).module()(X)
        outputs = {name: tensor.detach().numpy() for name, tensor in own.items()}
        return Artifact(exported, {"x": X.numpy()}, outputs)


class TestTorchScript(TestTorch):
    @pytest.fixture
    def artifact(self, texts: Path) -> Artifact:
        written = ["grüße", "b"]
        sums = own_script(texts)(written, torch.ones(2, 1))[0]
        inputs = {"texts": np.array([b"gr\xc3\xbc\xc3\x9fe", b"b"], object), "weights": np.ones((2, 1), np.float32)}
        outputs = {
            "output_0_sums": sums["sums"].detach().numpy(),
            "output_0_лучший": sums["лучший"].numpy(),
            "output_1": np.array([(text + text).encode() for text in written], object),
            "output_2": np.array(2),
        }
        return Artifact(texts, inputs, outputs, options={"inputs": [WEIGHTS]})


class TestTracedTorchScript(TestTorch):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        model = CASES["a classifier"]().model
        traced = save_script(lambda: torch.jit.trace(model, X, strict=False), tmp_path / "m.torchscript")
        outputs = {name: tensor.detach().numpy() for name, tensor in own_script(traced)(X).items()}
        return Artifact(traced, {"x": X.numpy()}, outputs)


class TestCompiledTorch(TestTorch):
    leak_bytes = 2**26  # the code of a compiled model stays in the process, 1.5 MB of this one

    @pytest.fixture
    def artifact(self, compiled: Path) -> Artifact:
        sums = own_compiled(compiled).run([X, torch.tensor(2.0)])[0].numpy()
        inputs = {"x": X.numpy(), "scale": np.array(2, np.float32)}
        return Artifact(compiled, inputs, {"sums": sums, "x": X.numpy()}, options=COMPILED)


class ReadsAFile(nn.Module):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_file("/etc/hostname", size=1, dtype=torch.uint8)


class WritesAFile(nn.Module):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, "left-behind")
        return x


@pytest.mark.parametrize("kind", [ReadsAFile, WritesAFile])
def test_a_script_that_opens_files_is_refused(tmp_path: Path, kind: Any) -> None:
    path = save_script(lambda: torch.jit.script(kind()), tmp_path / "m.pt")
    inputs = [{"name": "x", "dtype": "float32", "shape": [1]}]
    assert risks_in(path) == [("files", "its code opens files (torch.from_file or torch.save)")]
    assert risks_in(path, trust_code=True) == []
    with pytest.raises(LoadFailed, match="its code opens files"):
        mlbuffet.load(path, options={"inputs": inputs})

"""The rules of a runtime plugin, each as a test."""

import gc
import inspect
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from mlbuffet.errors import InvalidOptions, MLBuffetError
from mlbuffet.hookspecs import RuntimePlugin
from mlbuffet.load_context import LoadContext
from mlbuffet.model import Model, load_artifact
from mlbuffet.runtimes import Runtime, Runtimes, address_of
from mlbuffet.tensors import Tensors
from mlbuffet.testing import child
from mlbuffet.testing.samples import LAYOUTS, Artifact, damaged_copies, flipped, foreign, lookalikes

Change = Callable[[NDArray[Any]], NDArray[Any]]

_NAME = "plugin"
_THREADS = 8


class RuntimeConformance:
    """Subclass it as ``Test...`` and define the fixtures ``plugin`` and ``artifact``; the tests are inherited.

    ``plugin`` is an instance of a class that is constructed without arguments, or a module; ``artifact`` an `Artifact`.
    The attributes below suit most runtimes; a subclass that changes one says why.
    """

    may_import: ClassVar[frozenset[str]] = frozenset()
    """Top-level modules, besides mlbuffet's own, that come with the import of the plugin: light ones only."""
    rtol: ClassVar[float] = 1e-5
    """Relative tolerance of floating point outputs; everything else is compared exactly."""
    atol: ClassVar[float] = 1e-6
    """Absolute tolerance of floating point outputs."""
    rows: ClassVar[bool] = True
    """Whether a first axis that every tensor declares free counts rows that do not influence each other."""
    leak_rounds: ClassVar[int] = 20
    """How often the artifact is loaded and closed between two measurements."""
    leak_bytes: ClassVar[int] = 8 * 2**20
    """How much the process may grow in that many rounds."""
    patience: ClassVar[float] = 120.0
    """Seconds after which threads, or a child process, count as hanging."""

    @pytest.fixture
    def runtimes(self, plugin: object) -> Runtimes:
        """The plugin alone, registered as a program registers it."""
        registry = Runtimes()
        registry.register(plugin, name=_NAME)
        return registry

    @pytest.fixture
    def runtime(self, runtimes: Runtimes) -> Runtime:
        """The plugin as a registered runtime."""
        assert _NAME in runtimes, "the plugin implements no hook itself: decorate its methods with @mlbuffet.hookimpl"
        return runtimes[_NAME]

    @pytest.fixture
    def loaded_model(self, runtimes: Runtimes, artifact: Artifact) -> Iterator[Model]:
        """The loaded artifact."""
        with _load(runtimes, artifact) as model:
            yield model

    def test_it_is_a_runtime(self, runtime: Runtime) -> None:
        """The plugin registers with every hook of a runtime, and its ``platform``, if it has one, is text."""
        assert isinstance(runtime.platform, str), f"`platform` is {runtime.platform!r}; make it a str"

    def test_it_says_what_it_accepts(self, runtime: Runtime) -> None:
        """The docstring of ``accepts`` (or of the class) starts with a line that ``mlbuffet runtimes`` can show."""
        inherited = (inspect.getdoc(RuntimePlugin.accepts) or "").partition("\n")[0]
        assert runtime.description not in ("", inherited), (
            "nothing says what the plugin accepts: give `accepts` a docstring whose first line names its artifacts"
        )

    def test_it_accepts_its_artifact(self, runtime: Runtime, artifact: Artifact) -> None:
        """``accepts`` returns True, a bool, for the artifact."""
        answer = runtime.hook("accepts")(path=artifact.path)
        assert answer is True, f"`accepts` answered {answer!r} for its own artifact; return the bool True"

    def test_it_refuses_what_is_foreign(self, runtime: Runtime, tmp_path: Path) -> None:
        """``accepts`` returns False, a bool, for files and folders that have neither its name nor its contents."""
        answers = {path.name: runtime.hook("accepts")(path=path) for path in foreign(tmp_path)}
        wrong = {name: answer for name, answer in answers.items() if answer is not False}
        assert not wrong, (
            f"`accepts` answered {wrong} and should answer False, else it takes the models of other runtimes: "
            "look at suffixes, at the files inside a folder and at magic bytes"
        )

    def test_it_explains_only_its_own_kind(self, runtime: Runtime, artifact: Artifact, tmp_path: Path) -> None:
        """``explain``, where there is one, returns None for what is accepted or foreign."""
        answers = {path.name: runtime.explain(path) for path in (artifact.path, *foreign(tmp_path))}
        wrong = {name: answer for name, answer in answers.items() if answer is not None}
        assert not wrong, f"`explain` answered {wrong}; answer None for what is accepted and what is foreign"

    def test_accepts_never_raises(self, runtime: Runtime, artifact: Artifact, tmp_path: Path) -> None:
        """``accepts`` returns a bool for anything under the artifact's own name, and False if nothing is there.

        Garbage may be accepted: a format without magic bytes has only the name to go by, and ``load`` will refuse it.
        """
        for kind, path in lookalikes(artifact.path.name, tmp_path).items():
            try:
                answer = runtime.hook("accepts")(path=path)
            except Exception as error:  # noqa: BLE001 a plugin may raise anything
                pytest.fail(f"`accepts` raised {error!r} for {kind} called '{path.name}'; answer False instead")
            assert answer is False or (answer is True and kind != "nothing"), (
                f"`accepts` answered {answer!r} for {kind} called '{path.name}'; answer with a bool, False for nothing"
            )

    def test_accepts_needs_no_framework(self, plugin: object, artifact: Artifact, tmp_path: Path) -> None:
        """A fresh interpreter imports the plugin and calls ``accepts``, and imports no third package.

        Every load and every ``mlbuffet runtimes`` calls that of all plugins, and is not to wait for a framework.
        """
        paths = [artifact.path, artifact.path.parent, tmp_path / "nothing"]
        facts = child.run(child.ASK, plugin, {"paths": paths}, report=tmp_path / "report", patience=self.patience)
        imported = facts[-1][1:]
        heavy = set(imported) - {address_of(plugin).partition(":")[0].partition(".")[0]} - self.may_import
        assert not heavy, (
            f"importing the plugin or asking `accepts` imported {', '.join(sorted(heavy))}: import it inside `load`, "
            "or in a private module that `load` imports; if it is light, add it to `may_import`"
        )

    def test_the_signature_is_true(self, loaded_model: Model, artifact: Artifact) -> None:
        """``signature`` declares at least one signature, and the outputs for the sample are as it declares.

        Names, dtypes, rank and known dimensions; text is ``bytes`` in ``object`` arrays. The sample without what is
        optional gets outputs, too.
        """
        declared = loaded_model.signatures[loaded_model.signatures.resolve(artifact.signature)]
        required = {name: array for name, array in artifact.inputs.items() if not declared.inputs[name].optional}
        _predict(loaded_model, artifact, required)
        for name, array in _predict(loaded_model, artifact).items():
            spec = declared.outputs[name]
            assert spec.accepts_shape(array.shape), f"the signature says {spec}, and predict gave shape {array.shape}"
            assert not array.dtype.hasobject or all(type(item) is bytes for item in array.ravel()), (
                f"output {name!r} holds objects that are not bytes: encode text as UTF-8, element by element"
            )

    def test_the_values_are_right(self, loaded_model: Model, artifact: Artifact) -> None:
        """The sample gets the outputs that the author expects."""
        self._check(_predict(loaded_model, artifact), artifact.outputs, "the sample")

    def test_rows_are_independent(self, loaded_model: Model, artifact: Artifact) -> None:
        """Where every tensor has a free first axis, the sample twice gives its outputs twice, and its first row one.

        The server batches requests along that axis. This also finds a dimension that was squeezed away.
        """
        if not (self.rows and _counts_rows(loaded_model, artifact)):
            pytest.skip("the signature has no free first axis that counts rows")
        changes: dict[str, Change] = {
            "the sample twice": lambda array: np.concatenate([array, array]),
            "the first row of the sample": lambda array: array[:1],
        }
        for what, change in changes.items():
            answer = _predict(loaded_model, artifact, _each(change, artifact.inputs))
            self._check(answer, _each(change, artifact.outputs), what)

    def test_inputs_are_not_changed(self, loaded_model: Model, artifact: Artifact) -> None:
        """``predict`` leaves its inputs as they were: they belong to the caller."""
        inputs = _each(np.copy, artifact.inputs)
        _predict(loaded_model, artifact, inputs)
        for name, before in artifact.inputs.items():
            assert _identical(inputs[name], before), f"predict changed input {name!r}; compute into a new array"

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_memory_layout_does_not_matter(self, loaded_model: Model, artifact: Artifact, layout: str) -> None:
        """Inputs that are read-only, transposed, backwards, strided or unaligned give the same outputs.

        The server does not copy what it receives; a plugin copies where its framework needs plain memory.
        """
        answer = _predict(loaded_model, artifact, _each(LAYOUTS[layout], artifact.inputs))
        self._check(answer, artifact.outputs, f"the sample in {layout} arrays")

    def test_outputs_are_fresh(self, loaded_model: Model, artifact: Artifact) -> None:
        """Outputs share no memory with the inputs or with the next outputs, and do not change afterwards."""
        inputs = _each(np.copy, artifact.inputs)
        first = _predict(loaded_model, artifact, inputs)
        kept = _each(np.copy, first)
        second = _predict(loaded_model, artifact, _each(flipped, inputs))
        for name, array in first.items():
            others = {**{f"input {one!r}": inputs[one] for one in inputs}, "the next answer": second[name]}
            shared = [other for other, memory in others.items() if np.shares_memory(array, memory)]
            assert not shared, f"output {name!r} shares memory with {', '.join(shared)}; return a copy"
            assert _identical(array, kept[name]), f"output {name!r} changed during the next call; return a copy"

    def test_threads_agree(self, loaded_model: Model, artifact: Artifact) -> None:
        """Eight threads that call with different inputs at once get the outputs that each gets alone."""
        inputs = [artifact.inputs, _each(flipped, artifact.inputs)]
        outputs = [_predict(loaded_model, artifact, each) for each in inputs]

        def call(number: int) -> None:
            for turn in range(number, number + 20):
                answer = _predict(loaded_model, artifact, inputs[turn % 2])
                self._check(answer, outputs[turn % 2], "a call from one of eight threads")

        failures = _in_threads(call, self.patience)
        assert not failures, f"predict is not safe to call from several threads: {failures[0]}"

    def test_unknown_options_are_refused(self, runtimes: Runtimes, artifact: Artifact) -> None:
        """An option that the plugin does not know is `InvalidOptions`, which names it and lists those it knows."""
        refusal: MLBuffetError | None = None
        options = {**artifact.options, "no_such_option": 1}
        try:
            load_artifact(artifact.path, runtimes, _NAME, options).close()
        except MLBuffetError as error:
            refusal = error
        advice = "raise InvalidOptions(problem, valid) in `load` for a name that is not an option"
        assert isinstance(refusal, InvalidOptions), f"an unknown option led to {refusal!r}; {advice}"
        assert "no_such_option" in refusal.problem, f"'{refusal}' does not name the option; {advice}"
        valid = set(refusal.valid)
        assert "no_such_option" not in valid, f"'{refusal}' calls the unknown option valid; {advice}"
        assert set(artifact.options) <= valid, f"'{refusal}' leaves out {set(artifact.options) - valid}; {advice}"

    def test_damage_is_an_error(self, plugin: object, artifact: Artifact, tmp_path: Path) -> None:
        """Damaged copies of the artifact neither crash nor hang the process, and what is incomplete does not load.

        Every file in turn is cut in half, emptied, removed, overwritten with noise, and inverted in its first bytes.
        Noise may load: in a file of bare numbers it is as good as any weights. But half of the largest file, or none of
        it, holds less than the signature needs, and ``load`` has to raise, not the first prediction.
        The message for clients (`MLBuffetError.public`) names no path.
        """
        copies = list(damaged_copies(artifact.path, tmp_path / "damaged"))
        task = {
            "copies": [(copy.what, copy.path) for copy in copies],
            "options": dict(artifact.options),
            "inputs": dict(artifact.inputs),
            "signature": artifact.signature,
        }
        facts = child.run(child.LOAD, plugin, task, report=tmp_path / "report", patience=self.patience)
        loaded = {what for what, event, _ in facts if event == "loaded"}
        accepted = [copy.what for copy in copies if copy.incomplete and copy.what in loaded]
        assert not accepted, f"`load` took an incomplete artifact: {', '.join(accepted)}; check it and raise LoadFailed"
        exposing = [message for _, _, message in facts if str(tmp_path) in message]
        assert not exposing, f"clients are told a path: {exposing[0]!r}; leave it out of what LoadFailed is given"

    def test_two_models_live_side_by_side(self, loaded_model: Model, runtimes: Runtimes, artifact: Artifact) -> None:
        """Closing one model does not harm another of the same artifact."""
        _load(runtimes, artifact).close()
        self._check(_predict(loaded_model, artifact), artifact.outputs, "the sample, after another model was closed,")

    def test_unload_lets_the_model_go(self, runtime: Runtime, artifact: Artifact) -> None:
        """``unload``, where there is one, does not raise, and afterwards nothing refers to what ``load`` returned."""
        context = LoadContext(name="model")
        handle = runtime.hook("load")(path=artifact.path, options=artifact.options, confined=None, context=context)
        runtime.hook("signature")(model=handle)
        runtime.hook("unload")(model=handle)
        try:
            trace = weakref.ref(handle)
        except TypeError:
            pytest.skip(f"a {type(handle).__name__} cannot be watched; the size of the process is, in another test")
        del handle
        gc.collect()
        assert trace() is None, "the plugin still holds what `load` returned; keep no list of models, or clear it"

    def test_loading_again_and_again_does_not_grow(self, runtimes: Runtimes, artifact: Artifact) -> None:
        """Load, predict and close in a loop leaves memory, open files and threads as they were.

        The first rounds fill caches, and an allocator may grow once more; a leak grows each time.
        """
        before: _Usage | None = None
        allowed = _Usage(self.leak_bytes, files=self.leak_rounds // 2, threads=self.leak_rounds // 2)
        for _attempt in range(4):
            for _round in range(self.leak_rounds):
                with _load(runtimes, artifact) as model:
                    _predict(model, artifact)
            after = _usage()
            grown = _Usage(*(now - then for now, then in zip(after, before or after, strict=True)))
            if before is not None and all(more <= most for more, most in zip(grown, allowed, strict=True)):
                return
            before = after
        pytest.fail(f"{self.leak_rounds} rounds of load and close grew the process by {grown}; release it in `unload`")

    def _check(self, answer: Tensors, expected: Tensors, what: str) -> None:
        assert answer.keys() == expected.keys(), f"{what} gave outputs {sorted(answer)}, expected {sorted(expected)}"
        for name, array in answer.items():
            assert self._close(array, expected[name]), f"{what} gave {name!r} =\n{array}\nexpected\n{expected[name]}"

    def _close(self, array: NDArray[Any], expected: NDArray[Any]) -> bool:
        if array.shape != expected.shape:
            return False
        if array.dtype.kind == "V":  # the small types of ml_dtypes, which numpy's allclose does not know
            array, expected = array.astype(np.float64), expected.astype(np.float64)
        if array.dtype.kind in "fc":
            return np.allclose(array, expected, rtol=self.rtol, atol=self.atol, equal_nan=True)
        return np.array_equal(array, expected)


class _Usage(NamedTuple):
    memory: int
    files: int
    threads: int


def _usage() -> _Usage:
    gc.collect()
    process = psutil.Process()
    return _Usage(process.memory_info().rss, process.num_fds(), process.num_threads())


def _load(runtimes: Runtimes, artifact: Artifact) -> Model:
    return load_artifact(artifact.path, runtimes, _NAME, artifact.options)


def _predict(model: Model, artifact: Artifact, inputs: Tensors | None = None) -> dict[str, NDArray[Any]]:
    return model.predict(artifact.inputs if inputs is None else inputs, signature=artifact.signature)


def _each(change: Change, tensors: Tensors) -> dict[str, NDArray[Any]]:
    return {name: change(array) for name, array in tensors.items()}


def _counts_rows(model: Model, artifact: Artifact) -> bool:
    declared = model.signatures[model.signatures.resolve(artifact.signature)]
    inputs = [declared.inputs[name] for name in artifact.inputs]
    inner = {size for spec in inputs for size in (spec.shape or ())[1:] if isinstance(size, str)}
    if any(spec.shape and spec.shape[0] in inner for spec in inputs):
        return False
    shapes = [spec.sizes for spec in (*inputs, *declared.outputs.values())]
    sizes = {array.shape[:1] for array in (*artifact.inputs.values(), *artifact.outputs.values())}
    return bool(inputs) and all(shape and shape[0] is None for shape in shapes) and len(sizes) == 1


def _identical(array: NDArray[Any], other: NDArray[Any]) -> bool:
    return bool(array.tolist() == other.tolist()) if array.dtype.hasobject else array.tobytes() == other.tobytes()


def _in_threads(work: Callable[[int], None], patience: float) -> list[str]:
    """The failures of eight threads that do ``work``, switched far more often than usual."""
    start, failures = threading.Barrier(_THREADS), list[str]()

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 a thread's exception would be lost
            failures.append(str(error) or repr(error))

    interval, deadline = sys.getswitchinterval(), time.monotonic() + patience
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    finally:
        sys.setswitchinterval(interval)
    return ["they block each other"] if any(thread.is_alive() for thread in threads) else failures

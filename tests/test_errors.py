"""Errors say who must do what, and keep from clients what is not theirs to see."""

import inspect
import pickle
from pathlib import Path

import pytest

from mlbuffet import errors
from mlbuffet.errors import (
    AmbiguousRuntime,
    ArtifactNotFound,
    ArtifactUnreadable,
    ConversionFailed,
    DeadlineExceeded,
    DuplicateModel,
    DuplicateRuntime,
    IncompleteRuntime,
    InvalidConfiguration,
    InvalidHook,
    InvalidInput,
    InvalidModelName,
    InvalidOptions,
    InvalidPlace,
    LoadFailed,
    MLBuffetError,
    ModelClosed,
    ModelNotFound,
    ModelNotReady,
    NoModelLoaded,
    NoModels,
    NoRuntime,
    NotAuthenticated,
    NotChangeable,
    NotOneArtifact,
    NotPermitted,
    Overloaded,
    PredictFailed,
    ProcessCrashed,
    RemoteFailed,
    RepositoryClosed,
    RequestFailed,
    StorageFailed,
    StorageFull,
    UnknownRuntime,
    UnknownSignature,
    UploadRefused,
    UploadTooLarge,
    reason_of,
)

PATH = Path("/secret/iris.bin")
BROKEN = {"mine": ImportError("No module named 'torch'")}
CASES = [
    (InvalidInput("input 'x' is missing"), "input 'x' is missing"),
    (InvalidInput("x must be >= 0", detail="at /secret/x"), "x must be >= 0 (at /secret/x)"),
    (UnknownSignature("a", ["b"]), "there is no signature 'a'; name one of: b"),
    (UnknownSignature(None, ["b"], "two do"), "the model has no default signature: two do; name one of: b"),
    (InvalidOptions("there is no option 'a'", ["b", "c"]), "there is no option 'a'; the valid options are: b, c"),
    (
        InvalidConfiguration(PATH, "unknown key 'a'", ["b", "c"]),
        "'/secret/iris.bin' is wrong: unknown key 'a'; the valid keys are: b, c",
    ),
    (RepositoryClosed("is not open"), "the repository is not open; use it within 'with repository:'"),
    (RemoteFailed("s3://a/b", "no access"), "'s3://a/b' cannot be copied: no access"),
    (ArtifactNotFound(PATH), "there is no file or folder at '/secret/iris.bin'"),
    (ArtifactUnreadable(PATH, "permission denied"), "'/secret/iris.bin' cannot be read: permission denied; mend"),
    (InvalidHook("mine", "no hook 'a'", "the hooks are b"), "the plugin 'mine' is wrong: no hook 'a'; the hooks are b"),
    (NoRuntime(PATH, ["onnx"], BROKEN), "asked: onnx; broken: mine (ImportError: No module named 'torch'). Install"),
    (NoRuntime(PATH, [], {}), "asked: none. Install"),
    (NoRuntime(PATH, ["onnx"], {}, "it is empty"), "it is empty (asked: onnx)"),
    (NotOneArtifact(PATH, [PATH / "1", PATH / "2"], ["onnx"], {}), "it holds '1', '2'. Name one of them, such as"),
    (UnknownRuntime("x", ["onnx"], {}), "there is no runtime 'x'; installed: onnx"),
    (UnknownRuntime("mine", [], BROKEN), "'mine' is installed but broken: ImportError: No module named 'torch'"),
    (AmbiguousRuntime(PATH, ["a", "b"]), "a, b. Choose one by its name: runtime='a' in Python, --runtime a"),
    (IncompleteRuntime("mine", ["predict"]), "'mine' is not a whole runtime: it does not implement predict"),
    (DuplicateRuntime("mine"), "a runtime called 'mine' is registered already"),
    (LoadFailed("it is empty", path=PATH, runtime="onnx"), "by the runtime 'onnx': it is empty"),
    (LoadFailed("refused", path=PATH, runtime="onnx", detail="bad byte"), "by the runtime 'onnx': refused (bad byte)"),
    (LoadFailed("it is empty"), "it is empty"),
    (ConversionFailed("it is a zip", detail="odd"), "the model cannot be converted: it is a zip (odd)"),
    (PredictFailed("onnx", "s", "at /secret/x"), "failed to compute signature 's': at /secret/x"),
    (PredictFailed("onnx", "s", "at /secret/x", reason="in line 3"), "signature 's': in line 3 (at /secret/x)"),
    (ModelClosed(PATH), "is closed; load it again"),
    (DeadlineExceeded(0.25), "the model did not answer within 0.25 seconds"),
    (DeadlineExceeded(0), "the time that the call had was over before it began"),
    (ProcessCrashed("m", 2, "its process ended"), "version 2 of the model 'm' gave no answer: its process ended"),
    (Overloaded(2, 512), "the model is overloaded: 2 calls run and 512 wait; ask again a little later"),
    (NoModels(PATH, ["onnx"], BROKEN), "there is no model in '/secret/iris.bin'; asked: onnx; broken: mine"),
    (NoModelLoaded([LoadFailed("a"), LoadFailed("b")]), "not one of the models could be loaded: a; b"),
    (InvalidPlace("a=/secret", "it is empty"), "'a=/secret' cannot be served: it is empty"),
    (InvalidModelName("a b"), "'a b' cannot be a model's name"),
    (DuplicateModel("iris", 1, [PATH, PATH]), "two artifacts are version 1 of the model 'iris'"),
    (ModelNotFound("iris"), "there is no model 'iris'"),
    (ModelNotFound("iris", 3, [1, 2]), "there is no version 3 of the model 'iris'; there are: 1, 2"),
    (
        ModelNotFound("iris", label="stabel", labels=["old", "stable"]),
        "no version of the model 'iris' has the label 'stabel'; there are: 'old', 'stable'",
    ),
    (UploadRefused("the upload is empty"), "the upload is empty"),
    (UploadTooLarge(1024), "the upload is larger than 1024 bytes, which is the limit of this server (--max-upload)"),
    (NotAuthenticated("changes take a token"), "changes take a token"),
    (NotPermitted("this server is read-only"), "this server is read-only"),
    (NotChangeable("'iris' is a link"), "'iris' is a link"),
    (StorageFailed("input/output error"), "the change could not be stored, and was undone: input/output error"),
    (StorageFull("no space left on device"), "was undone: no space left on device"),
    (RequestFailed("http://a", "no (status 409)"), "the server at http://a: no (status 409)"),
    (ModelNotReady("iris", 1, "it is being loaded"), "version 1 of the model 'iris' is not ready: it is being loaded"),
]
FOR_THE_OPERATOR_ALONE = (InvalidPlace, NoModels, NoModelLoaded)


def named(case: object) -> str:
    return type(case).__name__


@pytest.mark.parametrize(("error", "sentence"), CASES, ids=named)
def test_an_error_says_what_which_and_what_to_do(error: MLBuffetError, sentence: str) -> None:
    assert sentence in str(error)


@pytest.mark.parametrize("error", [case[0] for case in CASES], ids=named)
def test_what_a_client_reads_holds_no_path(error: MLBuffetError) -> None:
    if not isinstance(error, FOR_THE_OPERATOR_ALONE):
        assert "/secret" not in error.public
        assert error.public


@pytest.mark.parametrize("error", [case[0] for case in CASES], ids=named)
def test_errors_travel_between_processes(error: MLBuffetError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert again.public == error.public
    assert again.__dict__.keys() == error.__dict__.keys()


def test_every_error_has_a_case_here_and_a_place_in_the_tree_that_is_drawn() -> None:
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MLBuffetError)}
    assert classes - {MLBuffetError} == {type(error) for error, _ in CASES}
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in classes)


def test_a_reason_is_one_line() -> None:
    assert reason_of(ValueError("first\nsecond")) == "ValueError: first"
    assert reason_of(DuplicateRuntime("a")) == str(DuplicateRuntime("a"))

"""The outputs of every signature, at every size that it declares."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput, MLBuffetError
from mlbuffet.model import Model
from mlbuffet.tensors import Signature, Tensors
from mlbuffet.testing.samples import Artifact, calls_of
from mlbuffet.testing.subject import Change, Subject, declared, each, predict

_SIZES = (1, 5)


class Answers(Subject):
    """The rules of ``signature``, and of what ``predict`` returns."""

    def test_the_signature_is_true(self, loaded_model: Model, artifact: Artifact) -> None:
        """``signature`` declares at least one signature, and the outputs for the sample are as it declares.

        Names, dtypes, rank and known dimensions; text is ``bytes`` in ``object`` arrays. The sample without what is
        optional gets outputs, too.
        """
        specs = declared(loaded_model, artifact).inputs
        required = {name: array for name, array in artifact.inputs.items() if not specs[name].optional}
        predict(loaded_model, artifact, required)
        _check_shapes(declared(loaded_model, artifact), predict(loaded_model, artifact), "the sample")

    def test_every_signature_answers(self, loaded_model: Model, artifact: Artifact) -> None:
        """Each signature, and each of its variants, is called once, and its outputs are as it declares.

        With the sample, with the artifact's ``samples``, or else with random inputs that fit what it declares.
        """
        signatures = loaded_model.signatures
        unknown = artifact.samples.keys() - signatures.keys()
        assert not unknown, f"Artifact(samples=...) names {sorted(unknown)}; the signatures are {sorted(signatures)}"
        for call in calls_of(artifact, signatures):
            what = f"signature {call.signature!r} with {'random inputs' if call.is_made_up else 'its sample'}"
            advice = (
                f"; if it cannot take such inputs, give it others: Artifact(..., samples={{{call.signature!r}: ...}})"
            )
            try:
                answer = loaded_model.predict(call.inputs, signature=call.signature)
            except MLBuffetError as error:
                pytest.fail(f"`predict` failed for {what}: {error}{advice if call.is_made_up else ''}")
            variant = signatures[call.signature].variant_for(call.inputs)
            _check_shapes(variant, answer, what)

    def test_the_values_are_right(self, loaded_model: Model, artifact: Artifact) -> None:
        """The sample gets the outputs that the author expects."""
        self.check(predict(loaded_model, artifact), artifact.outputs, "the sample")

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
            answer = predict(loaded_model, artifact, each(change, artifact.inputs))
            self.check(answer, each(change, artifact.outputs), what)

    def test_shapes_follow_the_number_of_rows(self, loaded_model: Model, artifact: Artifact) -> None:
        """Where every tensor has a free first axis, one row gives outputs of one row, and five give outputs of five."""
        _skip_without_rows(loaded_model, artifact)
        for size in _SIZES:
            answer = predict(loaded_model, artifact, each(partial(_rows, size=size), artifact.inputs))
            _check_shapes(declared(loaded_model, artifact), answer, f"a call of {size} rows", rows=size)

    def test_no_rows_give_no_rows(self, loaded_model: Model, artifact: Artifact) -> None:
        """Where every tensor has a free first axis, a call without rows gives outputs without rows, or `InvalidInput`.

        Clients send empty batches. A runtime that cannot compute one raises ``InvalidInput``, and they are told.
        """
        _skip_without_rows(loaded_model, artifact)
        try:
            answer = predict(loaded_model, artifact, each(lambda array: array[:0], artifact.inputs))
        except InvalidInput:
            return
        except MLBuffetError as error:
            pytest.fail(f"`predict` failed for no rows: {error}; return outputs of no rows, or raise InvalidInput")
        _check_shapes(declared(loaded_model, artifact), answer, "a call of no rows", rows=0)


def _check_shapes(signature: Signature, answer: Tensors, what: str, rows: int | None = None) -> None:
    """Fail unless the outputs are as declared, and have as many ``rows``."""
    for name, array in answer.items():
        spec = signature.outputs[name]
        came = f"`predict` gave {what} output {name!r} of shape {array.shape}, and `signature` says {spec}"
        assert spec.accepts_shape(array.shape), f"{came}; make one of them right"
        assert rows in (None, *array.shape[:1]), f"{came}; return {rows} rows"
        assert not array.dtype.hasobject or all(type(item) is bytes for item in array.ravel()), (
            f"output {name!r} holds objects that are not bytes: encode text as UTF-8, element by element"
        )


def _skip_without_rows(model: Model, artifact: Artifact) -> None:
    if not _counts_rows(model, artifact):
        pytest.skip("the signature has no free first axis that counts rows")


def _counts_rows(model: Model, artifact: Artifact) -> bool:
    signature = declared(model, artifact)
    inputs = [signature.inputs[name] for name in artifact.inputs]
    inner = {size for spec in inputs for size in (spec.shape or ())[1:] if isinstance(size, str)}
    if any(spec.shape and spec.shape[0] in inner for spec in inputs):
        return False
    shapes = [spec.sizes for spec in (*inputs, *signature.outputs.values())]
    sizes = {array.shape[:1] for array in (*artifact.inputs.values(), *artifact.outputs.values())}
    free = all(shape and shape[0] is None for shape in shapes)
    return bool(inputs) and free and len(sizes) == 1 and sizes != {(0,)}


def _rows(array: NDArray[Any], size: int) -> NDArray[Any]:
    """As many rows of ``array``, again and again from the first."""
    return np.take(array, np.arange(size) % len(array), axis=0)

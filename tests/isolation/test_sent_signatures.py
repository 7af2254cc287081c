import ml_dtypes
import msgspec
import numpy as np

from mlbuffet import ParameterSpec, Signature, Signatures, TensorSpec
from mlbuffet.isolation import sent_signatures


def test_signatures_arrive_as_they_are() -> None:
    specs = [
        TensorSpec("x", np.float32, ("batch", 4), description="sizes", wire_name="x:0"),
        TensorSpec("t", object, None, optional=True),
        TensorSpec("b", ml_dtypes.bfloat16, ()),
    ]
    outputs = [TensorSpec("scores", np.float64, ("batch", 2), labels=["a", "b"])]
    parameters = {
        "threshold": ParameterSpec(float, default=0.5, minimum=0, maximum=1),
        "kind": ParameterSpec(str, choices=["a", "b"], description="which"),
    }
    variants = [Signature([TensorSpec("x", dtype, (None,))], outputs[:0]) for dtype in (np.int32, np.int64)]
    given = Signatures(
        {
            "first": Signature(specs, outputs, "classify", parameters=parameters, description="what it does"),
            "second": Signature.of_variants(variants),
        },
        default="second",
        default_reason="it says so",
    )
    text = msgspec.msgpack.encode(sent_signatures.sent(given))
    arrived = sent_signatures.received(msgspec.msgpack.decode(text))
    assert arrived == given
    assert list(arrived) == list(given)
    assert (arrived.default, arrived.default_reason) == (given.default, given.default_reason)
    assert arrived["first"].inputs["x"].wire_name == "x:0"

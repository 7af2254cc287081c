"""A signature declares parameters; calls are held against it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlbuffet import InvalidInput, ParameterSpec, Signature, TensorSpec
from mlbuffet.parameters import is_reserved

X = [TensorSpec("x", np.float32, (None,))]
DECLARED = {
    "temperature": ParameterSpec(float, default=1.0, minimum=0.0, maximum=2, description="How bold."),
    "top": ParameterSpec(int, minimum=1),
    "mode": ParameterSpec(str, default="fast", choices=["fast", "exact"]),
    "raw": ParameterSpec(bool, default=False),
}
SIGNATURE = Signature(X, X, parameters=DECLARED)


@pytest.mark.parametrize(
    ("given", "checked"),
    [
        (None, {"temperature": 1.0, "mode": "fast", "raw": False}),
        ({}, {"temperature": 1.0, "mode": "fast", "raw": False}),
        ({"top": 3, "mode": "exact"}, {"temperature": 1.0, "top": 3, "mode": "exact", "raw": False}),
        ({"temperature": 0, "raw": True}, {"temperature": 0.0, "mode": "fast", "raw": True}),
        ({"temperature": np.float32(0.5)}, {"temperature": 0.5, "mode": "fast", "raw": False}),
        ({"top": np.int8(3)}, {"temperature": 1.0, "top": 3, "mode": "fast", "raw": False}),
        ({"temperature": None}, {"temperature": 1.0, "mode": "fast", "raw": False}),
    ],
)
def test_defaults_are_filled_in(given: dict[str, Any] | None, checked: dict[str, Any]) -> None:
    parameters = SIGNATURE.check_parameters(given)
    assert parameters == checked
    assert {name: type(value) for name, value in parameters.items()} == {
        name: type(value) for name, value in checked.items()
    }
    with pytest.raises(TypeError):
        parameters["temperature"] = 3  # type: ignore[index]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": -1}, "parameter 'temperature' is -1; the model takes a float from 0 to 2"),
        ({"temperature": 2.5}, "parameter 'temperature' is 2.5; the model takes a float from 0 to 2"),
        ({"temperature": "1"}, "parameter 'temperature' is '1'; the model takes a float"),
        ({"temperature": True}, "parameter 'temperature' is true; the model takes a float"),
        ({"temperature": float("nan")}, "parameter 'temperature' is NaN; the model takes a float"),
        ({"temperature": 10**400}, "parameter 'temperature' is 10+[.]{3}; the model takes a float"),
        ({"top": 0}, "parameter 'top' is 0; the model takes an int from 1"),
        ({"top": 1.0}, "parameter 'top' is 1.0; the model takes an int from 1"),
        ({"top": 2**63}, "parameter 'top' is 9223372036854775808; the model takes an int"),
        ({"mode": "slow"}, "parameter 'mode' is 'slow'; the model takes one of 'fast', 'exact'"),
        ({"raw": 1}, "parameter 'raw' is 1; the model takes true or false"),
        ({"raw": [True]}, "parameter 'raw' is"),
        (
            {"heat": 1},
            "there is no parameter 'heat'; the model takes temperature: a float from 0 to 2, top: an int from 1, "
            "mode: one of 'fast', 'exact', raw: true or false",
        ),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        SIGNATURE.check_parameters(given)


def test_a_signature_without_parameters_takes_none() -> None:
    assert Signature(X, X).check_parameters(None) == {}
    with pytest.raises(InvalidInput, match="there is no parameter 'heat'; the model takes no parameters"):
        Signature(X, X).check_parameters({"heat": 1})


@pytest.mark.parametrize("name", ["timeout", "binary_data_output", "signature_name", "triton_final_response"])
def test_what_requests_use_themselves_is_no_parameter_of_a_model(name: str) -> None:
    assert is_reserved(name)
    assert SIGNATURE.check_parameters({name: 1, "top": 1})["top"] == 1
    assert name not in SIGNATURE.check_parameters({name: 1})
    with pytest.raises(ValueError, match=f"a parameter cannot be called '{name}'"):
        Signature(X, X, parameters={name: ParameterSpec(int)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": list}, "a parameter is float, int, bool or str, not <class 'list'>"),
        ({"kind": str, "minimum": 1}, "a parameter that is text has no minimum"),
        ({"kind": float, "default": -1, "minimum": 0}, "the default of a parameter is -1, which is not a float from 0"),
        ({"kind": int, "choices": [1, "2"]}, "the choice of a parameter is '2', which is not an int"),
        ({"kind": int, "minimum": 3, "maximum": 1}, "the minimum of a parameter, 3, is above its maximum, 1"),
        ({"kind": float, "minimum": float("nan")}, "the minimum of a parameter is NaN"),
        ({"kind": float, "maximum": np.float32("nan")}, "the maximum of a parameter is NaN"),
        ({"kind": str, "choices": []}, "the choices of a parameter are empty"),
        ({"kind": int, "choices": [1, 2], "default": 3}, "the default of a parameter is 3, which is not one of 1, 2"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ParameterSpec(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": str, "choices": "abc"}, "the choices of a parameter are a list of values, not the text 'abc'"),
        ({"kind": float, "minimum": "0"}, "the minimum of a parameter is '0', which is not a number"),
        ({"kind": int, "maximum": True}, "the maximum of a parameter is True, which is not a number"),
    ],
)
def test_a_declaration_of_another_type_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ParameterSpec(**arguments)


@pytest.mark.parametrize("name", ["", 3])
def test_the_name_of_a_parameter_is_text(name: Any) -> None:
    with pytest.raises(ValueError, match=f"a parameter cannot be called {name!r}: its name is text, and not empty"):
        Signature(X, X, parameters={name: ParameterSpec(int)})


def test_a_declaration_is_a_value() -> None:
    assert ParameterSpec(float, default=1) == ParameterSpec(float, default=1.0)
    assert hash(DECLARED["mode"]) == hash(ParameterSpec(str, default="fast", choices=("fast", "exact")))
    assert Signature(X, X, parameters=DECLARED) == SIGNATURE != Signature(X, X)
    with pytest.raises(AttributeError):
        DECLARED["mode"].default = "exact"  # type: ignore[misc]
    assert replace(DECLARED["top"], minimum=2) == ParameterSpec(int, minimum=2)
    assert str(ParameterSpec(bool, choices=[True])) == "one of true"
    assert str(ParameterSpec(float, maximum=0.5)) == "a float up to 0.5"


def test_a_parameter_is_declared_as_one() -> None:
    with pytest.raises(TypeError, match="parameter 'top' is declared as 3; declare it as a ParameterSpec"):
        Signature(X, X, parameters={"top": 3})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="parameters are ParameterSpecs by name"):
        Signature(X, X, parameters=[ParameterSpec(int)])  # type: ignore[arg-type]


def test_variants_share_their_parameters() -> None:
    texts = Signature([TensorSpec("x", object, (None,))], X, parameters=DECLARED)
    assert Signature.of_variants([SIGNATURE, texts]).check_parameters({"top": 2})["top"] == 2
    with pytest.raises(ValueError, match="the variants of a signature have the same parameters"):
        Signature.of_variants([SIGNATURE, Signature([TensorSpec("x", object, (None,))], X)])

"""Which values of a request resemble numbers and booleans."""

from typing import Any

import pytest

from gateway.simulated_engine.members import decimal, flag, integer, number
from gateway.simulated_engine.work import Refusal


@pytest.mark.parametrize(
    ("value", "meant"), [(7, 7), ("7", 7), (" +7 ", 7), ("-7", -7), ("7.00", 7), (7.0, 7), (True, 1), (10**30, 10**30)]
)
def test_what_resembles_an_integer_is_one(value: object, meant: int) -> None:
    assert (integer(value), type(integer(value))) == (meant, int)


@pytest.mark.parametrize("value", [1.5, "1.5", "x", "", "7e2", "0x7", [], {}, None, float("inf"), "9" * 5000])
def test_what_resembles_no_integer_is_none(value: object) -> None:
    assert integer(value) is None


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "TRUE", "t", "yes", "y", "on", "1"])
def test_what_resembles_true_is_true(value: object) -> None:
    assert flag({"stream": value}, "stream") is True


@pytest.mark.parametrize("value", [False, 0, 0.0, "false", "F", "no", "n", "off", "0", None])
def test_what_resembles_false_is_false(value: object) -> None:
    assert flag({"stream": value}, "stream") is False


@pytest.mark.parametrize("value", [2, -1, 0.5, "", "maybe", "1.0", [], {}])
def test_what_resembles_no_boolean_is_refused(value: object) -> None:
    with pytest.raises(Refusal, match="stream"):
        flag({"stream": value}, "stream")


def test_a_missing_member_has_its_default_and_a_small_one_is_refused() -> None:
    nothing: dict[str, Any] = {}
    assert (number(nothing, "n", 3, 1), decimal(nothing, "n", 0.5), flag(nothing, "n", default=True)) == (3, 0.5, True)
    with pytest.raises(Refusal, match="at least 1"):
        number({"n": "0"}, "n", 3, 1)


@pytest.mark.parametrize("value", ["warm", "nan", "inf", [], 10**400])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(Refusal, match="temperature"):
        decimal({"temperature": value}, "temperature", 1.0)

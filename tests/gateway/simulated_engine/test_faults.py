"""Faults as they are written in flags, headers and bodies."""

import pytest

from gateway.simulated_engine import faults


def test_nothing_asked_for_is_no_fault() -> None:
    assert faults.make({}, {}) is faults.NO_FAULTS


def test_a_header_is_pairs_and_words_and_may_be_percent_encoded() -> None:
    pairs = faults.parse_pairs(["status=503", " crlf ", "chunk_text=a%2Cb%3D"])
    assert faults.make(pairs) == faults.Faults(status=503, crlf=True, chunk_text="a,b=")


def test_a_later_place_wins_member_by_member() -> None:
    made = faults.make({"status": "500", "retry_after": "3"}, {"status": 429})
    assert (made.status, made.retry_after) == (429, 3)


@pytest.mark.parametrize(("written", "meant"), [("true", True), ("1", True), ("final", "final"), ("false", False)])
def test_no_usage_is_a_boolean_or_a_word(written: str, meant: object) -> None:
    assert faults.make({"no_usage": written}).no_usage == meant


@pytest.mark.parametrize("wrong", [{"statsu": 500}, {"status": "many"}, {"garbage": "music"}, {"close_after": [1]}])
def test_a_misspelt_fault_is_refused_instead_of_ignored(wrong: dict[str, object]) -> None:
    with pytest.raises(faults.UnusableFault):
        faults.make(wrong)

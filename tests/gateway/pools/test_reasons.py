"""Why an engine takes no requests, in the reader's language."""

import re

import pytest
from django.utils import translation

from gateway.pools import reasons
from gateway.pools.fleet import reasons as fleet_reasons
from gateway.pools.probes import NotReady

SENTENCES = [
    text
    for module in (reasons, fleet_reasons)
    for name, text in vars(module).items()
    if name.isupper() and isinstance(text, str)
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_was_kept_in_english_is_read_in_french(sentence: str) -> None:
    values = {name: f"<{name}: 100 % of it>" for name in re.findall(r"%\((\w+)\)s", sentence)}
    kept = NotReady(sentence, may_pass=False, **values).reason
    with translation.override("fr"):
        read = reasons.in_readers_language(kept)
    assert read != kept
    assert all(value in read for value in values.values())
    with translation.override("en"):
        assert reasons.in_readers_language(kept) == kept


def test_a_fault_inside_a_reason_is_read_in_french_too() -> None:
    with translation.override("fr"):
        read = reasons.in_readers_language("It does not answer: the connection broke: ConnectionRefusedError.")
    assert read == "Il ne répond pas\xa0: la connexion s'est rompue\xa0: ConnectionRefusedError."


def test_a_text_of_somebody_else_stays_as_it_is() -> None:
    with translation.override("fr"):
        assert reasons.in_readers_language("GPU 3 glows.") == "GPU 3 glows."
        assert reasons.in_readers_language("") == ""

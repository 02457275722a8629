"""What people type of money that came in, and what forms make of it."""

import pytest
from django.core.exceptions import ValidationError
from django.utils import translation

from console.forms.billing_identity import CentsField, RateForm


@pytest.mark.parametrize(("typed", "cents"), [("12.50", 1250), ("12,50", 1250), ("1 250", 125_000), ("-3", -300)])
def test_an_amount_is_typed_as_people_write_it_and_read_to_the_cent(typed: str, cents: int) -> None:
    assert CentsField().clean(typed) == cents
    assert CentsField().clean(CentsField().prepare_value(cents)) == cents


@pytest.mark.parametrize("typed", ["", "1.001", "ten", "1e9", "NaN"])
def test_what_is_no_amount_of_cents_is_refused(typed: str) -> None:
    with pytest.raises(ValidationError):
        CentsField().clean(typed)


@pytest.mark.parametrize(("language", "typed"), [("en", "5.5"), ("fr", "5,5"), ("es", "5,5")])
def test_a_rate_is_typed_as_its_language_writes_it(language: str, typed: str) -> None:
    with translation.override(language):
        form = RateForm({"country": "FR", "percent": typed, "valid_from": "2026-01-01"})
        assert form.is_valid(), form.errors
        assert int(form.cleaned_data["percent"] * 100) == 550

"""What an invoice says is kept as JSON that can be read back, and hashed."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from billing.invoices.document.contents import InvoiceContents, digest_of, from_json, to_json
from tests.support.invoice_contents import PAYER, credit_note, invoice, statement


@pytest.mark.parametrize("contents", [invoice(), credit_note(), statement(), invoice(payer=PAYER, due_on=None)])
def test_contents_are_read_back_as_they_were_written(contents: InvoiceContents) -> None:
    text = to_json(contents)
    assert from_json(text) == contents
    assert to_json(from_json(text)) == text
    assert digest_of(from_json(text)) == digest_of(contents)


def test_the_text_is_canonical() -> None:
    """Whoever loads it (a database's jsonb) and writes it in the same way gets the same bytes."""
    text = to_json(invoice())
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == text


def test_another_amount_is_another_digest() -> None:
    assert digest_of(invoice()) != digest_of(replace(invoice(), due_cents=1))


def test_contents_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        invoice().due_cents = 1  # type: ignore[misc]


@pytest.mark.parametrize("text", ["[]", "{}", '{"version":2}', '{"version":1}', '{"version":1,"lines":{}}'])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not know"):
        from_json(text)


def test_a_payer_is_whom_it_is_made_out_to() -> None:
    assert invoice(payer=PAYER).billed_to == PAYER
    assert invoice().billed_to == invoice().buyer

"""Invoices in the console: the list by year, one with its lines, the files, and what is said while there are none."""

import uuid
from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from billing.invoices.files import LIBRARIES
from billing.models import InvoiceDrawing, Payment
from identity.models import Role
from tests.support.console import page, signed_in
from tests.support.invoice_contents import credit_note, flat_line, invoice, statement, usage_line
from tests.support.invoices import filed, kept
from tests.support.people import Cast, make_cast, make_person
from tests.support.service import service_said

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def fay(cast: Cast) -> Client:
    """Somebody of finance."""
    return signed_in(make_person("fay", cast.tenant, Role.FINANCE))


def shown(client: Client, cast: Cast, rest: str = "") -> str:
    response = client.get(f"/t/{cast.tenant.slug}/billing/invoices{rest}")
    assert response.status_code == 200
    return page(response)


def test_invoices_are_listed_by_year_with_what_is_left(cast: Cast, fay: Client) -> None:
    last_year = filed(cast.tenant, replace(invoice(), issued_on=date(2025, 12, 2)))
    open_one = filed(cast.tenant, replace(invoice([flat_line(1, 10000)]), due_on=date(2000, 1, 1)))
    Payment.objects.create(
        invoice=open_one, amount_cents=5000, paid_on=date(2026, 11, 9), reference="R", source="hand", actor="tests"
    )
    credited = filed(cast.tenant, credit_note())
    with service_said(trade="seller"):
        newest = shown(fay, cast)
        before = shown(fay, cast, "?year=2025")
    assert open_one.number in newest
    assert "overdue" in newest
    assert "€70.00 left" in newest
    assert f"−€{credited.gross_cents / 100:.2f}" in newest
    assert last_year.number not in newest
    assert last_year.number in before


def test_one_is_shown_with_its_lines_and_how_they_were_rounded(cast: Cast, fay: Client) -> None:
    found = filed(cast.tenant, invoice([usage_line(1, tokens=1_234_567)]))
    words = shown(fay, cast, f"/{found.public_id}")
    for said in (found.number, "1,234,567", "€0.90 a million", "€1.1111103", "€1.11", "FR76", found.sha256):
        assert said in words
    for ending, media_type in (("pdf", "application/pdf"), ("xml", "application/xml"), ("csv", "text/csv")):
        response = fay.get(f"/t/{cast.tenant.slug}/billing/invoices/{found.public_id}/{ending}")
        assert response["Content-Type"].startswith(media_type)
        assert f"{found.number}.{ending}" in response["Content-Disposition"]


def test_a_house_that_charges_back_has_statements_and_nothing_to_pay(cast: Cast, fay: Client) -> None:
    found = kept(cast.tenant, statement(language="en"))
    with service_said(trade="chargeback"):
        assert "Statements" in shown(fay, cast)
    words = shown(fay, cast, f"/{found.public_id}")
    assert "there is nothing to pay" in words
    assert "VAT</th>" not in words
    assert fay.get(f"/t/{cast.tenant.slug}/billing/invoices/{found.public_id}/xml").status_code == 404


def test_while_there_is_no_pdf_the_page_says_why(cast: Cast, fay: Client) -> None:
    found = kept(cast.tenant)
    address = f"/{found.public_id}"
    assert "The PDF is being made" in shown(fay, cast, address)
    drawing = InvoiceDrawing.objects.create(invoice=found, lease_until=timezone.now(), attempts=1, fault="RuntimeError")
    drawing.lease_until = timezone.now() + timedelta(hours=1)
    drawing.save()
    assert "could not be made so far" in shown(fay, cast, address)
    InvoiceDrawing.objects.filter(pk=found.pk).update(fault=LIBRARIES)
    assert "apt-get install libpango" in shown(fay, cast, address)
    assert fay.get(f"/t/{cast.tenant.slug}/billing/invoices/{found.public_id}/pdf").status_code == 404


def test_an_invoice_with_too_many_lines_shows_its_projects(cast: Cast, fay: Client) -> None:
    lines = [usage_line(at, project=f"Project {at // 300}") for at in range(1, 601)]
    words = shown(fay, cast, f"/{filed(cast.tenant, invoice(lines)).public_id}")
    assert "300 lines" in words
    assert "has them all" in words


def test_auditors_read_invoices_developers_do_not_and_nobody_another_tenants(cast: Cast, fay: Client) -> None:
    found = filed(cast.strangers)
    auditor = signed_in(make_person("ann", cast.tenant, Role.AUDITOR))
    address = f"/t/{cast.tenant.slug}/billing/invoices"
    assert [client.get(address).status_code for client in (fay, auditor, signed_in(cast.bob))] == [200, 200, 403]
    for one in (found.public_id, uuid.uuid4()):
        assert fay.get(f"{address}/{one}").status_code == 404
        assert fay.get(f"{address}/{one}/pdf").status_code == 404

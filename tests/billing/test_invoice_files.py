"""The files of what was issued are made once, by whoever comes first, and never again."""

import csv
import hashlib
import io
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from billing.invoices import files as invoice_files
from billing.invoices.document.contents import from_json
from billing.invoices.files import (
    LIBRARIES,
    PDF,
    XML,
    csv_of_lines,
    file_name,
    file_of,
    take_invoice,
    write_files_of,
)
from billing.models import Invoice, InvoiceDrawing, InvoiceFile
from identity.errors import NotFound
from identity.models import Notice, Role
from tests.support.invoice_contents import credit_note, flat_line, invoice, statement
from tests.support.invoices import kept
from tests.support.people import make_person, make_tenant

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was drawn, without drawing it."""
    calls: list[Any] = []

    def draw(contents: Any, *, logo: Any) -> bytes:
        calls.append(contents)
        return b"%PDF-1.7 " + str(len(calls)).encode()

    monkeypatch.setattr(invoice_files, "render_pdf", draw)
    return calls


def take(found: Invoice) -> Invoice:
    """It, taken by us before a worker of other tests can."""
    taken = take_invoice(found.pk)
    assert taken is not None
    return taken


def test_an_invoice_gets_its_pdf_and_its_xml() -> None:
    found = kept(make_tenant())
    assert write_files_of(take(found))
    for media_type, begins in ((PDF, b"%PDF-"), (XML, b"<?xml")):
        made = file_of(found, media_type)
        content = bytes(made.content)
        assert content.startswith(begins)
        assert made.sha256 == hashlib.sha256(content).hexdigest()
    assert found.number.encode() in bytes(file_of(found, XML).content)
    assert take_invoice(found.pk) is None


@pytest.mark.usefixtures("drawn")
def test_a_statement_has_no_xml() -> None:
    found = kept(make_tenant(), statement())
    assert write_files_of(take(found))
    with pytest.raises(NotFound):
        file_of(found, XML)


def test_two_workers_write_one_file(drawn: list[Any]) -> None:
    found = kept(make_tenant())
    taken = take(found)
    assert take_invoice(found.pk) is None
    write_files_of(taken)
    InvoiceDrawing.objects.create(invoice=found, lease_until=timezone.now())  # a second one that was late
    write_files_of(found)
    assert (len(drawn), InvoiceFile.objects.filter(invoice=found, media_type=PDF).count()) == (1, 1)


@pytest.mark.usefixtures("drawn")
def test_a_file_cannot_be_changed_or_removed() -> None:
    found = kept(make_tenant())
    write_files_of(take(found))
    made = InvoiceFile.objects.filter(invoice=found)
    for change in (lambda: made.update(content=b"other"), made.delete):
        with pytest.raises(DatabaseError, match="denied|refuse|only grow"), transaction.atomic():
            change()


def test_who_pays_is_told_once(drawn: list[Any]) -> None:
    tenant = make_tenant()
    make_person("fay", tenant, Role.FINANCE)
    found = kept(tenant)
    write_files_of(take(found))
    told = Notice.objects.filter(tenant=tenant, kind="invoice.issued")
    assert [one.context["invoice"] for one in told] == [str(found.public_id)]
    write_files_of(kept_credit := take(kept(tenant, credit_note())))
    assert Notice.objects.filter(tenant=tenant, kind="credit_note.issued").count() == 1
    assert kept_credit.gross_cents == 133
    assert len(drawn) == 2


def test_a_failure_is_tried_again_later_and_told_at_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_args: object, **_more: object) -> bytes:
        raise RuntimeError("no ink")

    monkeypatch.setattr(invoice_files, "render_pdf", breaks)
    found = kept(make_tenant())
    told = Notice.objects.filter(tenant=None, kind="invoice.not_drawn", context__number=found.number)
    for attempt, count in ((1, 0), (2, 1), (3, 1)):
        assert not write_files_of(take(found))
        drawing = InvoiceDrawing.objects.get(invoice=found)
        assert (drawing.attempts, drawing.fault, told.count()) == (attempt, "RuntimeError: no ink", count)
        assert take_invoice(found.pk) is None  # not before its pause is over
        InvoiceDrawing.objects.filter(pk=found.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert file_of(found, XML)


def test_a_machine_without_the_libraries_gives_the_xml_and_draws_when_they_are_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found, other = kept(make_tenant()), kept(make_tenant(), statement())
    with monkeypatch.context() as bare:
        bare.setattr("billing.invoices.document.pdf.missing_libraries", lambda: ("libpango-1.0-0",))
        for one in (found, other):
            assert not write_files_of(take(one))
    assert InvoiceDrawing.objects.get(invoice=found).fault == LIBRARIES
    assert file_of(found, XML)
    assert "apt-get install libpango" in caplog.text
    InvoiceDrawing.objects.filter(pk=found.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert write_files_of(take(found))
    assert bytes(file_of(found, PDF).content).startswith(b"%PDF-")


def test_the_lines_as_a_table_are_exact_and_safe() -> None:
    found = kept(make_tenant(), invoice([flat_line(1, 1000, "=1+1"), flat_line(2, -5)]))
    head, first, second = csv.reader(io.StringIO(csv_of_lines(from_json(found.contents))))
    rows = [dict(zip(head, row, strict=True)) for row in (first, second)]
    assert (rows[0]["description"], rows[0]["exact_eur"], rows[1]["amount_eur"]) == ("'=1+1", "10.00", "-0.05")


def test_a_file_has_a_plain_name() -> None:
    assert file_name(Invoice(number="2026-10/a b"), "pdf") == "2026-10-a-b.pdf"

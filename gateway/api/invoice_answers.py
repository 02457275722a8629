"""The files of an invoice as answers."""

from collections.abc import Callable
from uuid import UUID

from django.http import HttpResponse

from billing.invoices.document.contents import from_json
from billing.invoices.files import PDF, XML, csv_of_lines, file_name, file_of, note_download
from billing.invoices.issued import issued_invoice
from billing.models import Invoice
from identity.audit import Actor
from identity.errors import NotFound


def answer_with(invoice: Invoice, ending: str, *, to: Actor) -> HttpResponse:
    """A file of it, to be saved, and a line about that in the organisation's audit. Its `ETag` is its SHA-256.

    Raises `NotFound` where it is not made yet, or never is, and for an ending that there is not.
    """
    if ending not in _ANSWERS:
        raise NotFound("file")
    answer = _ANSWERS[ending](invoice)
    note_download(by=to, invoice=invoice, ending=ending)
    return answer


def file_of_any(public_id: UUID, ending: str, *, to: Actor) -> HttpResponse:
    """The same of any organisation's, for operators. Raises `NotFound`."""
    return answer_with(issued_invoice(public_id), ending, to=to)


def _made(invoice: Invoice, media_type: str, ending: str) -> HttpResponse:
    made = file_of(invoice, media_type)
    headers = _headers(invoice, ending) | {"ETag": f'"{made.sha256}"'}
    return HttpResponse(bytes(made.content), content_type=media_type, headers=headers)


def _csv(invoice: Invoice) -> HttpResponse:
    text = csv_of_lines(from_json(invoice.contents))
    return HttpResponse(text, content_type="text/csv; charset=utf-8", headers=_headers(invoice, "csv"))


def _headers(invoice: Invoice, ending: str) -> dict[str, str]:
    name = file_name(invoice, ending)
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}


_ANSWERS: dict[str, Callable[[Invoice], HttpResponse]] = {
    "pdf": lambda invoice: _made(invoice, PDF, "pdf"),
    "xml": lambda invoice: _made(invoice, XML, "xml"),
    "csv": _csv,
}

"""The files of what was issued: made once, after it, by whichever worker comes first, and never changed.

XML first, which needs nothing but Python; then the PDF, which needs libraries of the system. Each is written when it is
made, so that a machine that draws no PDF still gives the XML. Whoever made a file twice wrote it once: the second finds
it there. What fails is tried again, later each time; the second failure is told to the operators.
"""

import csv
import hashlib
import io
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Now

from billing.invoices.document.cii import xml_of
from billing.invoices.document.contents import InvoiceContents, from_json
from billing.invoices.document.libraries import INSTALLS
from billing.invoices.document.pdf import SECONDS, LibrariesMissing, Picture, render_pdf
from billing.invoices.issued import invoices_of
from billing.invoices.payer_notices import tell_payer
from billing.models import Invoice, InvoiceDrawing, InvoiceFile
from billing.money import NANO_EUR_PER_CENT, exact_eur
from identity import audit
from identity.access import Caller
from identity.errors import NotFound
from identity.notices import notify
from identity.service import service
from identity.service_logo import logo_by_digest
from identity.spreadsheet import safe_cell

PDF = "application/pdf"
XML = "application/xml"
LIBRARIES = "libraries"
TOLD_AFTER = 2
_LEASE = timedelta(seconds=2 * SECONDS)  # longer than the drawing may take: a killed worker's invoice waits so long
_PAUSE, _PAUSE_MAX = timedelta(minutes=1), timedelta(hours=6)
_LIBRARIES_PAUSE = timedelta(minutes=5)  # looking for them costs nothing, and who installed them waits for the PDF
_FAULT_LENGTH_MAX = 500
_HEAD = (
    "number", "line", "project", "cost_centre", "purchase_order", "description", "explanation", "quantity", "unit",
    "unit_price_eur", "exact_eur", "amount_eur", "vat_category", "vat_rate_percent",
)  # fmt: skip

logger = logging.getLogger(__name__)


def with_files(found: QuerySet[Invoice]) -> QuerySet[Invoice]:
    """Invoices with `has_pdf` and `has_xml`."""
    return found.annotate(has_pdf=_has(PDF), has_xml=_has(XML))


def issued_to(caller: Caller, public_id: UUID) -> Invoice:
    """One of the tenant's, with what was paid of it and which files there are. Raises `Forbidden`, `NotFound`."""
    found = with_files(invoices_of(caller)).filter(public_id=public_id).first()
    if found is None:
        raise NotFound("invoice")
    return found


def file_of(invoice: Invoice, media_type: str) -> InvoiceFile:
    """The file. Raises `NotFound` where it is not made, or never is: a statement has no XML."""
    found = InvoiceFile.objects.filter(invoice=invoice, media_type=media_type).first()
    if found is None:
        raise NotFound("file")
    return found


def note_download(*, by: audit.Actor, invoice: Invoice, ending: str) -> None:
    """Say in the organisation's audit who took a file of it away: a member, a key, a payer's person, an operator."""
    target = audit.Target("invoice", invoice.number)
    detail = {"file": ending, "sha256": invoice.sha256}
    with transaction.atomic():
        audit.record(tenant=invoice.tenant, actor=by, action="invoice.downloaded", target=target, detail=detail)


def file_name(invoice: Invoice, ending: str) -> str:
    """What a file of it is called when it is saved."""
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in invoice.number)
    return f"{plain}.{ending}"


def csv_of_lines(contents: InvoiceContents) -> str:
    """Its lines as CSV (RFC 4180), amounts in exact euros. Names are made safe for spreadsheets."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(_HEAD)
    for line in contents.lines:
        named = (line.project, line.cost_centre, line.purchase_order, line.description, line.explanation)
        amounts = (exact_eur(line.exact_nano_eur), exact_eur(line.net_cents * NANO_EUR_PER_CENT))
        priced = (line.quantity, line.unit, line.unit_price, *amounts)
        names = [safe_cell(contents.number), line.position, *map(safe_cell, named)]
        rows.writerow([*names, *priced, line.vat_category, line.vat_rate_percent])
    return text.getvalue()


def write_files(*, seconds: float) -> int:
    """Make the files that are missing, for about so long. Returns how many invoices were looked at."""
    deadline, done = time.monotonic() + seconds, 0
    while time.monotonic() < deadline and (invoice := take_invoice()):
        write_files_of(invoice)
        done += 1
    return done


def take_invoice(invoice_id: int | None = None) -> Invoice | None:
    """The invoice that waits for longest for files, or that one; the caller's for the time of a lease."""
    lacking = Invoice.objects.filter(~_has(PDF), drawing=None)
    if invoice_id is not None:
        lacking = lacking.filter(pk=invoice_id)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(hashtextextended('invoice_files', 0))")
        waiting = InvoiceDrawing.objects.filter(lease_until__lte=Now()).select_related("invoice")
        if invoice_id is not None:
            waiting = waiting.filter(invoice=invoice_id)
        found = waiting.order_by("lease_until").first()
        if found is not None:
            InvoiceDrawing.objects.filter(pk=found.pk).update(lease_until=Now() + _LEASE)
            return found.invoice
        invoice = lacking.order_by("pk").first()
        if invoice is not None:
            InvoiceDrawing.objects.create(invoice=invoice, lease_until=Now() + _LEASE)
        return invoice


def write_files_of(invoice: Invoice) -> bool:
    """Make what is missing of its files. False where that failed, which is written down; then nothing is raised."""
    try:
        contents = from_json(invoice.contents)
        if invoice.kind != Invoice.Kind.STATEMENT:
            _put_file(invoice, XML, lambda: xml_of(contents))
        _put_file(invoice, PDF, lambda: render_pdf(contents, logo=_logo()))
    except LibrariesMissing:
        return _failed(invoice, LIBRARIES)
    except Exception as error:
        logger.exception("the files of an invoice could not be made")
        return _failed(invoice, f"{type(error).__name__}: {error}")
    with transaction.atomic():
        InvoiceDrawing.objects.filter(pk=invoice.pk).delete()
        _tell_of(invoice)
    return True


def _has(media_type: str) -> Exists:
    return Exists(InvoiceFile.objects.filter(invoice=OuterRef("pk"), media_type=media_type))


def _put_file(invoice: Invoice, media_type: str, drawn: Callable[[], bytes]) -> None:
    """The file, unless it is there."""
    if InvoiceFile.objects.filter(invoice=invoice, media_type=media_type).exists():
        return
    content = drawn()
    digest = hashlib.sha256(content).hexdigest()
    made = InvoiceFile(invoice=invoice, media_type=media_type, content=content, sha256=digest)
    InvoiceFile.objects.bulk_create([made], ignore_conflicts=True)


def _logo() -> Picture | None:
    digest = service().logo_digest
    try:
        return Picture(logo_by_digest(digest).content) if digest else None
    except NotFound:  # another one since
        return None


def _failed(invoice: Invoice, fault: str) -> bool:
    drawing = InvoiceDrawing.objects.get(pk=invoice.pk)
    pause = min(_PAUSE * 2 ** min(drawing.attempts, 10), _PAUSE_MAX)
    once_key = f"invoice.not_drawn:{invoice.pk}"
    if fault == LIBRARIES:  # of all invoices at once
        pause, once_key = _LIBRARIES_PAUSE, f"invoice.not_drawn:libraries:{invoice.month:%Y-%m}"
        if not drawing.attempts:
            logger.warning("PDFs of invoices wait for libraries that this machine lacks: %s", INSTALLS)
    with transaction.atomic():
        InvoiceDrawing.objects.filter(pk=invoice.pk).update(
            attempts=F("attempts") + 1, fault=fault[:_FAULT_LENGTH_MAX], lease_until=Now() + pause
        )
        if drawing.attempts + 1 >= TOLD_AFTER:
            told = {"number": invoice.number, "organisation": invoice.tenant.name, "fault": fault[:300]}
            told |= {"fault": INSTALLS} if fault == LIBRARIES else {}
            notify(None, "invoice.not_drawn", context=told, once_key=once_key)
    return False


def _tell_of(invoice: Invoice) -> None:
    told = {
        "number": invoice.number,
        "month_on": invoice.month.isoformat(),
        "total_nano_eur": abs(invoice.gross_cents) * NANO_EUR_PER_CENT,
        "due_on": invoice.due_on.isoformat() if invoice.due_on else "",
        "invoice": str(invoice.public_id),
    }
    notify(invoice.tenant, f"{invoice.kind}.issued", context=told, once_key=f"invoice.issued:{invoice.pk}")
    if invoice.kind != Invoice.Kind.STATEMENT:
        tell_payer(invoice, "payer.invoiced", context=told, once_key=f"invoice.issued:{invoice.pk}")

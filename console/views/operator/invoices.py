"""What was issued: all of it, one with its lines, a credit note, payments by hand or by a bank's file, the journal."""

from datetime import UTC, date, datetime
from uuid import UUID

from django.contrib import messages
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from billing.invoices.credit_notes import credit_invoice, lines_left
from billing.invoices.document.contents import from_json
from billing.invoices.files import PDF, XML
from billing.invoices.issued import issued_invoice, open_cents, state_of, with_payments
from billing.invoices.journal import journal_csv
from billing.invoices.payments import Match, import_payments, read_bank_file, record_payment
from billing.models import Invoice
from billing.money import NANO_EUR_PER_CENT
from console import formats
from console.closing_words import ShownLine, shown_lines
from console.forms.billing_identity import BankFileForm, CreditForm, PaymentForm
from console.invoice_words import pdf_state
from console.pages import operator_page
from console.refusals import show_at_form
from gateway.api.invoice_answers import file_of_any
from identity.errors import Conflict, Invalid
from identity.models import Person, Service
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission
from identity.service import service

SHOWN_MAX = 100
FILE_BYTES_MAX = 2_000_000


@operator_page(OperatorPermission.BILLING_READ)
@require_GET
def invoices(request: HttpRequest, operator: Person) -> HttpResponse:
    """The newest, or those that are overdue."""
    today, is_overdue = _today(), request.GET.get("state") == "overdue"
    found = with_payments(Invoice.objects.select_related("tenant")).order_by("-issued_at", "-pk")
    if is_overdue:
        found = _overdue(found, today)
    rows = [(one, state_of(one, today), open_cents(one)) for one in found[:SHOWN_MAX]]
    is_seller = service().trade == Service.Trade.SELLER
    shown = {"rows": rows, "is_overdue": is_overdue, "first": today.replace(day=1), "today": today}
    shown["is_seller"] = is_seller
    return render(request, "console/operator/closing/invoices.html", shown)


@operator_page(OperatorPermission.BILLING_READ)
@require_GET
def invoice(request: HttpRequest, operator: Person, invoice_id: UUID) -> HttpResponse:
    """One, as it was issued: lines explained, cents, VAT, payments, credit notes."""
    return _page(request, issued_invoice(invoice_id))


@operator_page(OperatorPermission.BILLING_READ)
@require_GET
def invoice_file(request: HttpRequest, operator: Person, invoice_id: UUID, ending: str) -> HttpResponse:
    """Its PDF, XML or table of lines."""
    return file_of_any(invoice_id, ending, to=operator_for_person(operator).actor)


@operator_page(OperatorPermission.INVOICE_ISSUE)
@require_http_methods(["GET", "POST"])
def credit(request: HttpRequest, operator: Person, invoice_id: UUID) -> HttpResponse:
    """Take it back, or some of its lines."""
    found = issued_invoice(invoice_id)
    left = shown_lines(lines_left(found), found.month)
    choices = [(str(line.row.position), _named(line)) for line in left]
    form = CreditForm(request.POST or None, lines=choices)
    if request.method == "POST" and form.is_valid():
        try:
            note = credit_invoice(
                by=operator_for_person(operator),
                invoice=found,
                reason=form.cleaned_data["reason"],
                positions=form.positions,
            )
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("%(number)s is issued.") % {"number": note.number})
            return redirect("operator-invoice", invoice_id=note.public_id)
    shown = {"form": form, "invoice": found, "left": left}
    return render(request, "console/operator/closing/credit.html", shown)


@operator_page(OperatorPermission.INVOICE_ISSUE)
@require_http_methods(["GET", "POST"])
def payment(request: HttpRequest, operator: Person, invoice_id: UUID) -> HttpResponse:
    """Say what came for it."""
    found = issued_invoice(invoice_id)
    initial = {"amount": open_cents(found), "paid_on": _today()}
    form = PaymentForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            _payment, is_new = record_payment(
                by=operator_for_person(operator),
                invoice=found,
                amount_cents=data["amount"],
                paid_on=data["paid_on"],
                reference=data["reference"],
                note=data["note"],
            )
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            told = _("The payment is recorded.") if is_new else _("This payment was recorded before.")
            messages.success(request, told)
            return redirect("operator-invoice", invoice_id=invoice_id)
    return render(request, "console/operator/closing/payment.html", {"form": form, "invoice": found})


@operator_page(OperatorPermission.INVOICE_ISSUE)
@require_http_methods(["GET", "POST"])
def payments_import(request: HttpRequest, operator: Person) -> HttpResponse:
    """A bank's file: first what would come of each line, then the same recorded."""
    text, lines, form = request.POST.get("text", ""), None, BankFileForm()
    try:
        if request.method == "POST" and text:
            done = import_payments(by=operator_for_person(operator), text=text)
            count = sum(line.match == Match.NEW for line in done)
            told = ngettext("%(count)s payment is recorded.", "%(count)s payments are recorded.", count)
            messages.success(request, told % {"count": count})
            return redirect("operator-invoices")
        if request.method == "POST":
            form = BankFileForm(request.POST, request.FILES)
            if form.is_valid():
                text = _decoded(form.cleaned_data["file"].read(FILE_BYTES_MAX + 1))
                lines = read_bank_file(text)
    except Invalid as error:
        show_at_form(form, error)
    shown = {"form": form, "lines": lines, "text": text, "new": sum(one.match == Match.NEW for one in lines or ())}
    return render(request, "console/operator/closing/payments.html", shown)


@operator_page(OperatorPermission.BILLING_READ)
@require_GET
def journal_file(request: HttpRequest, operator: Person) -> HttpResponse:
    """The journal of some days, as CSV."""
    today = _today()
    first, last = _day(request, "first", today.replace(day=1)), _day(request, "last", today)
    text = journal_csv(by=operator_for_person(operator), first=first, last=last)
    headers = {"Content-Disposition": f'attachment; filename="beffroi-journal-{first}-{last}.csv"'}
    return HttpResponse(text, content_type="text/csv; charset=utf-8", headers=headers)


def _page(request: HttpRequest, found: Invoice) -> HttpResponse:
    contents = from_json(found.contents)
    files = set(found.files.values_list("media_type", flat=True))
    rows = list(found.lines.order_by("position")[: SHOWN_MAX * 5])
    still_open = open_cents(found)
    shown = {
        **pdf_state(found),
        "invoice": found,
        "contents": contents,
        "has_pdf": PDF in files,
        "has_xml": XML in files,
        "parties": [(contents.seller, _("Seller")), (contents.billed_to, _("Buyer"))],
        "state": state_of(found, _today()),
        "open_cents": still_open,
        "open_size_cents": abs(still_open),
        "may_be_credited": found.corrects_id is None and found.lines.filter(credited_by=None).exists(),
        "lines": shown_lines(rows, found.month),
        "rest": found.line_count - len(rows),
        "rounding_nano_eur": found.net_cents * NANO_EUR_PER_CENT - found.exact_nano_eur,
        "payments": found.payments.order_by("paid_on", "pk"),
        "notes": found.credit_notes.order_by("pk"),
    }
    return render(request, "console/operator/closing/invoice.html", shown)


def _named(line: ShownLine) -> str:
    """A line among the many of a form that are called alike."""
    parts = [line.row.project, line.description, line.quantity]
    amount = formats.money(line.row.net_cents * NANO_EUR_PER_CENT, get_language() or "en")
    return f"{line.row.position}. {' · '.join(part for part in parts if part)} – {amount}"


def _overdue(found: QuerySet[Invoice], today: date) -> QuerySet[Invoice]:
    late = found.filter(kind=Invoice.Kind.INVOICE, due_on__lt=today)
    return late.filter(due_cents__gt=F("paid_cents") + F("credited_cents")).order_by("due_on", "pk")


def _decoded(content: bytes) -> str:
    if len(content) > FILE_BYTES_MAX:
        raise Invalid("file", _("is too large"))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _day(request: HttpRequest, name: str, otherwise: date) -> date:
    try:
        return date.fromisoformat(request.GET.get(name, ""))
    except ValueError:
        return otherwise


def _today() -> date:
    return datetime.now(UTC).date()

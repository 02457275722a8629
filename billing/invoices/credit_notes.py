"""Credit notes: an issued invoice taken back, all of it or some lines. Never more of a line than it was invoiced.

VAT is that of the invoice, not of today; the number is of a series of its own. Of a statement, inside one organisation,
it is a statement with the same lines below zero.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, date

from django.db import transaction
from django.db.models import Sum
from django.utils import translation
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.invoices.document.contents import InvoiceContents, Kind, Line, Payment, Preceding, from_json
from billing.invoices.issued import COLUMNS, keep, next_number
from billing.invoices.settings import billing_settings, series_code
from billing.invoices.vat import Category, Vat
from billing.models import Invoice, InvoiceLine
from identity import audit
from identity.errors import Conflict, Invalid
from identity.models import Tenant
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.wording import clean_name

REASON_LENGTH_MAX = 300


def credit_invoice(*, by: Operator, invoice: Invoice, reason: str, positions: Collection[int] | None = None) -> Invoice:
    """Take an invoice back, or the lines at these positions, and say why. Lines that were credited before are left out.

    Raises `Forbidden`, `Invalid` (reason, a position that there is not), `Conflict` (nothing is left to be credited;
    more than the invoice would be, or less than nothing, as lines below zero stay or go alone).
    """
    by.require(OperatorPermission.INVOICE_ISSUE)
    reason = clean_name(reason, "reason", REASON_LENGTH_MAX)
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=invoice.tenant_id)
        if invoice.corrects_id is not None:
            raise Conflict(_("A credit note cannot be credited."))
        lines = _lines_left(invoice, positions)
        now = database_now()
        contents = _contents(invoice, lines, now.astimezone(UTC).date())
        note = keep(
            contents, tenant=invoice.tenant, by=by, month=invoice.month, now=now, corrects=invoice, reason=reason
        )
        InvoiceLine.objects.bulk_create(
            [_credited(note, number, line) for number, line in enumerate(lines, 1)], batch_size=1_000
        )
        target = audit.Target("invoice", note.number)
        detail = {"corrects": invoice.number, "gross_cents": note.gross_cents, "reason": reason}
        audit.record(tenant=invoice.tenant, actor=by.actor, action="invoice.credited", target=target, detail=detail)
        audit.record(actor=by.actor, action="invoice.credited", target=target, detail=detail)
    return note


def lines_left(invoice: Invoice) -> list[InvoiceLine]:
    """The lines of which nothing was credited yet."""
    return list(invoice.lines.filter(credited_by=None).order_by("position"))


def _lines_left(invoice: Invoice, positions: Collection[int] | None) -> list[InvoiceLine]:
    left = lines_left(invoice)
    if positions is not None:
        known = set(invoice.lines.values_list("position", flat=True))
        if set(positions) - known:
            raise Invalid("lines", _("has no such line"))
        left = [line for line in left if line.position in positions]
    if not left:
        raise Conflict(_("Nothing of it is left to be credited."))
    if invoice.kind == Invoice.Kind.INVOICE:
        _require_within(invoice, left)
    return left


def _require_within(invoice: Invoice, lines: list[InvoiceLine]) -> None:
    """What was discounted goes with its discount: else more than was invoiced would be given back, or a credit note
    would ask for money.
    """
    taken = sum(line.net_cents for line in lines)
    if taken < 0:
        raise Conflict(_("Lines below zero are credited with the lines that they reduce."))
    if sum(line.net_cents for line in lines_left(invoice)) < taken:
        raise Conflict(_("That is more than is left of the invoice: credit its lines below zero with them."))


def _contents(invoice: Invoice, lines: list[InvoiceLine], day: date) -> InvoiceContents:
    """The invoice's own contents with these lines: seller, buyer, language and VAT are those of then.

    A credit note has natural amounts, as its kind turns them round (UNTDID 1001: 381); a statement has them below zero.
    """
    whole = from_json(invoice.contents)
    is_statement = whole.kind == Kind.STATEMENT
    mine, sign = {line.position for line in lines}, -1 if is_statement else 1
    taken = [line for line in whole.lines if line.position in mine]
    net = sign * sum(line.net_cents for line in taken)
    tax = 0 if is_statement else _tax_back(invoice, whole, net, is_rest=len(mine) == len(lines_left(invoice)))
    series = "" if is_statement else series_code(billing_settings().credit_note_prefix, day)
    count = invoice.credit_notes.count()
    with translation.override(whole.language):
        terms = _("It is set off against %(number)s, or paid back where that was paid.") % {"number": invoice.number}
    return replace(
        whole,
        kind=Kind.STATEMENT if is_statement else Kind.CREDIT_NOTE,
        number=next_number(series) if series else f"{invoice.number}/{count + 1}",
        series=series,
        issued_on=day,
        due_on=None,
        lines=tuple(_line(number, line, sign) for number, line in enumerate(taken, 1)),
        vat=tuple(replace(one, base_cents=net, tax_cents=tax) for one in whole.vat),
        net_cents=net,
        tax_cents=tax,
        gross_cents=net + tax,
        prepaid_cents=0,
        due_cents=net + tax,
        preceding=Preceding(invoice.number, invoice.issued_on),
        rounding_note="",
        payment=Payment() if is_statement else Payment(terms=terms),
    )


def _tax_back(invoice: Invoice, whole: InvoiceContents, net_cents: int, *, is_rest: bool) -> int:
    """The tax of the lines, never more than is left; of the last ones what is left, so that all of it comes back."""
    left = invoice.tax_cents - int(invoice.credit_notes.aggregate(total=Sum("tax_cents"))["total"] or 0)
    if is_rest:
        return left
    [one] = whole.vat
    percent, _point, rest = one.rate_percent.partition(".")
    return min(Vat(Category(one.category), int(percent) * 100 + int(rest.ljust(2, "0"))).tax_cents(net_cents), left)


def _line(number: int, line: Line, sign: int) -> Line:
    """The line in another place, and turned round where the sign is."""
    if sign > 0:
        return replace(line, position=number)
    quantity = line.quantity[1:] if line.quantity.startswith("-") else f"-{line.quantity}"
    return replace(
        line,
        position=number,
        quantity=quantity,
        exact_nano_eur=-line.exact_nano_eur,
        net_cents=-line.net_cents,
    )


def _credited(note: Invoice, number: int, line: InvoiceLine) -> InvoiceLine:
    """The row of a credit note's line: it is of no entry itself, but takes back the line that is."""
    sign = -1 if note.kind == Invoice.Kind.STATEMENT else 1
    columns = {name: getattr(line, name) for name in COLUMNS} | {"position": number, "entry_id": None}
    columns |= {"exact_nano_eur": sign * line.exact_nano_eur, "net_cents": sign * line.net_cents}
    return InvoiceLine(invoice=note, tenant_id=note.tenant_id, credits=line, **columns)

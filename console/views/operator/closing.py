"""Closing months: all organisations of one, an organisation's month with its lines, preview, approval and issue."""

from datetime import UTC, date, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from billing.closing.blocks import Facts, facts_shown, told_of
from billing.closing.carried_over import is_carried_over
from billing.closing.contents import vat_for
from billing.closing.issuing import (
    Blocked,
    Done,
    approve,
    approve_all,
    closing_of,
    has_approved,
    issue,
    issue_all,
    take_back_approval,
)
from billing.closing.listed import closing_page, rows_of
from billing.closing.period import following, month_named, preceding
from billing.closing.previews import ask_previews, billed_tenants
from billing.invoices.document.libraries import INSTALLS, missing_libraries
from billing.invoices.vat import Missing, Vat
from billing.models import Closing, DraftLine, InvoiceLine, LegalParty
from billing.usage.platform_month import MONTHS_BACK
from console.closing_words import approvers_of, shown_blocks, shown_lines
from console.pages import is_partial, operator_page
from console.refusals import sentence_of
from console.views.operator.tenant_changes import tenant_or_404
from identity.errors import Conflict, NotFound
from identity.models import Person, Service, Tenant
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission
from identity.service import service

LINES_SHOWN = 200
NOTHING_DONE = Done(0, 0, 0)


@operator_page(OperatorPermission.BILLING_READ)
@require_GET
def closing(request: HttpRequest, operator: Person) -> HttpResponse:
    """A month of all organisations: state, amount, change, what blocks each."""
    months, today = _months(), _today()
    month = next((one for one in months if f"{one:%Y-%m}" == request.GET.get("month")), months[1])
    text, page = request.GET.get("q", "").strip()[:100], _page_number(request)
    until = _until(request, month, today)
    found = closing_page(month, today=today, until=until, text=text, page=page)
    shown = {
        "month": month,
        "months": months,
        "until": until,
        "rows": [(row, shown_blocks(row.blocks, row.tenant)) for row in found.rows],
        "progress": found.progress,
        "total": sum(row.amount_nano_eur for row in found.rows),
        "next": found.next,
        "page": page,
        "text": text,
        "is_open": month == months[0],
        "is_seller": service().trade == Service.Trade.SELLER,
        "installs": INSTALLS if missing_libraries() else "",
    }
    if is_partial(request):
        return render(request, "console/operator/closing/_table.html", shown)
    return render(request, "console/operator/closing/closing.html", shown)


@operator_page(OperatorPermission.BILLING_READ)
@require_GET
def month_of_one(request: HttpRequest, operator: Person, month: str, slug: str) -> HttpResponse:
    """An organisation's month: its lines as they would be, what blocks it, and what to do next."""
    first, tenant = _month(month), _told(slug)
    facts = facts_shown([tenant])
    [row] = rows_of([tenant], first, facts, today=_today())
    page = _page_number(request)
    lines = _lines(row.closing.pk if row.closing else None, row.invoice.pk if row.invoice else None, page)
    vat = None if row.is_estimate or row.invoice else _vat(tenant, first, facts)
    shown = {
        "row": row,
        "tenant": tenant,
        "month": first,
        "blocks": shown_blocks(row.blocks, tenant),
        "lines": shown_lines(lines[:LINES_SHOWN], first),
        "next": page + 1 if len(lines) > LINES_SHOWN else None,
        "page": page,
        "vat": vat,
        "tax_cents": vat.tax_cents(row.closing.net_cents) if vat and row.closing else 0,
        "is_seller": facts.house.is_seller,
        "approvers": approvers_of(row.closing) if row.closing else [],
        "has_approved": row.closing is not None and has_approved(operator_for_person(operator), row.closing),
    }
    template = "_month.html" if is_partial(request) else "month.html"
    return render(request, f"console/operator/closing/{template}", shown)


@operator_page(OperatorPermission.INVOICE_ISSUE)
@require_POST
def preview_all(request: HttpRequest, operator: Person, month: str) -> HttpResponse:
    """Have all lines of the month made."""
    first = _month(month)
    asked = ask_previews(by=operator_for_person(operator), month=first, tenants=billed_tenants())
    told = ngettext("%(count)s preview is being made.", "%(count)s previews are being made.", asked)
    messages.success(request, told % {"count": asked})
    return _to_all(first)


@operator_page(OperatorPermission.INVOICE_ISSUE)
@require_POST
def approve_every(request: HttpRequest, operator: Person, month: str) -> HttpResponse:
    """Approve all that nothing blocks."""
    first = _month(month)
    done = approve_all(by=operator_for_person(operator), month=first, tenants=billed_tenants())
    told = ngettext("You approved %(count)s month.", "You approved %(count)s months.", done.done)
    _tell(request, told % {"count": done.done}, done)
    return _to_all(first)


@operator_page(OperatorPermission.INVOICE_ISSUE)
@require_POST
def issue_every(request: HttpRequest, operator: Person, month: str) -> HttpResponse:
    """Issue all that is approved."""
    first = _month(month)
    done = issue_all(by=operator_for_person(operator), month=first, tenants=billed_tenants())
    told = ngettext("%(count)s month is issued.", "%(count)s months are issued.", done.done)
    if done == NOTHING_DONE:
        told = _("No month is approved: nothing was issued.")
    _tell(request, told % {"count": done.done}, done)
    return _to_all(first)


@operator_page(OperatorPermission.INVOICE_ISSUE)
@require_POST
def preview_one(request: HttpRequest, operator: Person, month: str, slug: str) -> HttpResponse:
    """Have one organisation's lines made."""
    first, tenant = _month(month), tenant_or_404(slug)
    ask_previews(by=operator_for_person(operator), month=first, tenants=[tenant])
    messages.success(request, _("A preview is asked for."))
    return _to_one(first, tenant)


@operator_page(OperatorPermission.INVOICE_ISSUE)
@require_POST
def approve_one(request: HttpRequest, operator: Person, month: str, slug: str) -> HttpResponse:
    """Approve one."""
    first, tenant = _month(month), tenant_or_404(slug)
    try:
        closing = approve(by=operator_for_person(operator), tenant=tenant, month=first)
        is_enough = closing.state != Closing.State.PREVIEWED
        told = _("The month is approved.") if is_enough else _("You approved it. A second person has to.")
        messages.success(request, told)
    except (Blocked, Conflict) as error:
        messages.error(request, sentence_of(error))
    return _to_one(first, tenant)


@operator_page(OperatorPermission.INVOICE_ISSUE)
@require_POST
def take_back(request: HttpRequest, operator: Person, month: str, slug: str) -> HttpResponse:
    """Let nobody have approved it."""
    first, tenant = _month(month), tenant_or_404(slug)
    try:
        take_back_approval(by=operator_for_person(operator), tenant=tenant, month=first)
        messages.success(request, _("The approval is taken back."))
    except Conflict as error:
        messages.error(request, sentence_of(error))
    return _to_one(first, tenant)


@operator_page(OperatorPermission.INVOICE_ISSUE)
@require_POST
def issue_one(request: HttpRequest, operator: Person, month: str, slug: str) -> HttpResponse:
    """Issue one."""
    first, tenant = _month(month), tenant_or_404(slug)
    try:
        issued = issue(by=operator_for_person(operator), tenant=tenant, month=first)
    except Conflict as error:
        messages.error(request, sentence_of(error))
        return _to_one(first, tenant)
    if issued is None:
        is_carried = is_carried_over(closing_of(tenant, first), None)
        told = _("The month is closed: there was nothing to bill.")
        if is_carried:
            told = _("The month is closed: it comes to less than zero and goes on to the next month.")
        messages.success(request, told)
        return _to_one(first, tenant)
    messages.success(request, _("%(number)s is issued.") % {"number": issued.number})
    return redirect("operator-invoice", invoice_id=issued.public_id)


def _tell(request: HttpRequest, told: str, done: Done) -> None:
    parts = [told]
    if done.blocked:
        words = ngettext("Something blocks %(count)s.", "Something blocks %(count)s of them.", done.blocked)
        parts.append(words % {"count": done.blocked})
    if done.left:
        parts.append(_("%(count)s are left: go on.") % {"count": done.left})
    (messages.success if done.done else messages.warning)(request, " ".join(parts))


def _vat(tenant: Tenant, month: date, facts: Facts) -> Vat | None:
    """What the invoice will have; None where it has none, or nobody can say it yet."""
    if not facts.house.is_seller:
        return None
    day = facts.period(tenant, month, None).last_day(tenant.time_zone)
    found = vat_for(facts.house, facts.parties.get(tenant.pk, LegalParty()), day)
    return None if isinstance(found, Missing) else found


def _lines(closing_id: int | None, invoice_id: int | None, page: int) -> list[Any]:
    shown = slice((page - 1) * LINES_SHOWN, page * LINES_SHOWN + 1)
    if invoice_id is not None:
        return list(InvoiceLine.objects.filter(invoice=invoice_id).order_by("position")[shown])
    if closing_id is None:
        return []
    return list(DraftLine.objects.filter(closing=closing_id).order_by("position")[shown])


def _told(slug: str) -> Tenant:
    found = told_of(billed_tenants().filter(slug=slug)).first()
    if found is None:
        raise NotFound("tenant")
    return found


def _month(text: str) -> date:
    """The first day of `2026-11`. Raises `NotFound`."""
    found = month_named(text)
    if found is None:
        raise NotFound("month")
    return found


def _months() -> list[date]:
    """The present one first."""
    months = [_today().replace(day=1)]
    while len(months) < MONTHS_BACK:
        months.append(preceding(months[-1]))
    return months


def _until(request: HttpRequest, month: date, today: date) -> date | None:
    """`?until=2026-11-15`: a day of the month, no later than today."""
    try:
        asked = date.fromisoformat(request.GET.get("until", ""))
    except ValueError:
        return None
    return asked if month <= asked < following(month) and asked <= today else None


def _page_number(request: HttpRequest) -> int:
    text = request.GET.get("after", "")
    return max(int(text), 1) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def _to_all(month: date) -> HttpResponse:
    address = redirect("operator-closing")
    address["Location"] += f"?month={month:%Y-%m}"
    return address


def _to_one(month: date, tenant: Tenant) -> HttpResponse:
    return redirect("operator-closing-one", month=f"{month:%Y-%m}", slug=tenant.slug)


def _today() -> date:
    return datetime.now(UTC).date()

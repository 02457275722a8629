"""Billing in its first form: the contract in force, what this month comes to, the organisation's budgets and limits."""

from datetime import date

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing.money import exact_eur
from billing.standing import budgets_on, limits_on
from billing.statement import Statement, csv_of, first_day, statement
from billing.tier_choice import contract_and_next
from billing.usage import TooManyRows
from console.pages import tenant_page
from identity.access import Caller
from identity.models import Tenant
from identity.permissions import Permission

LINES_MAX = 100  # on the page, the dearest first; the export has all


@tenant_page(Permission.BILLING_READ)
@require_GET
def billing(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Where the money stands."""
    tenant, months = caller.tenant, _months(caller.tenant)
    day = _day(request, months)
    shown: Statement | None
    try:
        shown = statement(tenant, day)
    except TooManyRows:
        shown = None
    budgets = budgets_on(tenant.pk, "tenant", tenant.pk)
    dearest = shown.dearest(LINES_MAX) if shown else []
    contract, following = contract_and_next(tenant)
    context = {
        "contract": contract,
        "next": following,
        "statement": shown,
        "lines": dearest,
        "rest": len(shown.lines) - len(dearest) if shown else 0,
        "budgets": budgets,
        # What the contract brought; its tier may say something else since.
        "cap": next((one.limit_nano_eur for one in budgets if (one.source, one.period) == ("tier", "month")), None),
        "limits": limits_on(tenant.pk, "tenant", tenant.pk),
        "month": day,
        "months": months,
        "total_exact": exact_eur(shown.total_nano_eur) if shown else "",
    }
    return render(request, "console/billing/billing.html", context)


@tenant_page(Permission.BILLING_READ)
@require_GET
def statement_csv(request: HttpRequest, caller: Caller) -> HttpResponse:
    """A month's statement to open in a spreadsheet."""
    day = _day(request, _months(caller.tenant))
    text = csv_of(statement(caller.tenant, day))
    name = f"beffroi-{caller.tenant.slug}-{day:%Y-%m}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text, content_type="text/csv; charset=utf-8", headers=headers)


def _today() -> date:
    """In the tenant's time zone."""
    return timezone.localdate()


def _day(request: HttpRequest, months: list[date]) -> date:
    """The first day of `?month=2026-11`; this month without it, or where it is none of these."""
    asked = request.GET.get("month", "")
    return next((day for day in months if f"{day:%Y-%m}" == asked), months[0])


def _months(tenant: Tenant) -> list[date]:
    """The first days of the last twelve, this one first, back to the tenant's first."""
    today, begun = _today(), first_day(tenant).replace(day=1)
    index = today.year * 12 + today.month - 1
    months = [date((index - back) // 12, (index - back) % 12 + 1, 1) for back in range(12)]
    return [month for month in months if month >= begun] or months[:1]

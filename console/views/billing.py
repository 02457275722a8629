"""Billing in its first form: the contract in force, what this month comes to, the organisation's budgets and limits."""

from datetime import date

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing.closing.terms import counting_in, lines_of
from billing.contracts.agreements import last_day_of, names_of
from billing.contracts.terms import all_terms_of, read_told
from billing.contracts.tier_choice import contract_and_next
from billing.limits.places import Source
from billing.limits.standing import budgets_on, limits_on
from billing.usage.records import TooManyRows
from billing.usage.statement import Statement, csv_of, first_day, statement
from console.pages import tenant_page
from identity.access import Caller
from identity.budget_duties import people_answering
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
    terms = read_told(contract) if contract else all_terms_of(tenant)
    term_lines = lines_of(counting_in(terms, day), day, shown.total_nano_eur) if shown else []
    agreement = contract.agreement if contract else None
    context = {
        "terms": [term for term in terms if term.last_month is None or term.last_month >= months[0]],
        "term_lines": term_lines,
        "with_terms": shown.total_nano_eur + sum(line.amount_nano_eur for line in term_lines) if shown else 0,
        "last_day": last_day_of(agreement, tenant) if agreement else None,
        "is_cap_agreed": agreement is not None and agreement.is_cap_agreed,
        "agreed_models": names_of(agreement.model_ids) if agreement else [],
        "contract": contract,
        "next": following,
        "statement": shown,
        "lines": dearest,
        "rest": len(shown.lines) - len(dearest) if shown else 0,
        "budgets": budgets,
        "answering": people_answering(one.id for one in budgets),
        "credit": next((one for one in budgets if one.source == Source.CREDIT), None),
        # What the contract brought; its tier may say something else since.
        "cap": next((one.limit_nano_eur for one in budgets if (one.source, one.period) == ("tier", "month")), None),
        "limits": limits_on(tenant.pk, "tenant", tenant.pk),
        "month": day,
        "months": months,
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

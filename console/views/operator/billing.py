"""Billing as the operator sees it, in its first form: what all organisations were charged in a month."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from billing.money import exact_eur
from billing.usage.platform_month import MONTHS_BACK, Month, PlatformUse, platform_use
from console.charts import chart, stacked
from console.csv_files import csv_file
from console.pages import operator_page
from identity.models import Person
from identity.permissions import OperatorPermission

TENANTS_SHOWN = 100  # the dearest; the export has all
_HEAD = ("month", "tenant", "external_id", "name", "requests", "cost_eur")


@operator_page(OperatorPermission.BILLING_READ)
@require_GET
def billing(request: HttpRequest, operator: Person) -> HttpResponse:
    """The month so far: in all, by day and model, and organisation by organisation."""
    use, months = platform_use(_month(request)), _months()
    shown = {
        "use": use,
        "month": use.month,
        "months": months,
        "tenants": use.tenants[:TENANTS_SHOWN],
        "rest": len(use.tenants) - TENANTS_SHOWN,
        **_drawn(use),
    }
    return render(request, "console/operator/billing/billing.html", shown)


@operator_page(OperatorPermission.BILLING_READ)
@require_GET
def billing_export(request: HttpRequest, operator: Person) -> HttpResponse:
    """Every organisation's month as a table for a spreadsheet; amounts are exact euros."""
    use = platform_use(_month(request))
    month = f"{use.month.first:%Y-%m}"
    rows = [
        (month, one.slug, one.external_id, one.name, one.requests, exact_eur(one.cost_nano_eur)) for one in use.tenants
    ]
    return csv_file(f"beffroi-{month}.csv", _HEAD, rows)


def _drawn(use: PlatformUse) -> dict[str, Any]:
    days = use.month.days
    series = stacked(days, use.by_model)
    lines = [(day, [one.values[place] for one in series]) for place, day in enumerate(days)]
    return {
        "chart": chart(days, series, "eur"),
        "series": series,
        "lines": [(day, figures, sum(figures)) for day, figures in reversed(lines)],
    }


def _month(request: HttpRequest) -> Month:
    """`?month=2026-11`; the present one without it, or where usage is no longer kept."""
    asked, months = request.GET.get("month", ""), _months()
    found = next((first for first in months if f"{first:%Y-%m}" == asked), months[0])
    return Month.of(found, today=_today())


def _months() -> list[date]:
    """The first days of the months for which usage is kept, the present one first."""
    first, months = _today().replace(day=1), []
    for _number in range(MONTHS_BACK):
        months.append(first)
        first = (first - timedelta(days=1)).replace(day=1)
    return months


def _today() -> date:
    """Of the days that this page adds up."""
    return datetime.now(UTC).date()

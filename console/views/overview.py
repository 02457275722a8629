"""An organisation's first page: this month's money, what needs attention, what is asked for."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from billing.limits.places import Source
from billing.prices.visibility import as_seen_by
from billing.usage.overview import DAYS, Overview
from billing.usage.overview import overview as figures_of
from billing.usage.records import reader_of_member
from console.attention import Facts, attention, full_budgets
from console.charts import chart, days_until, stacked
from console.pages import LAST_TENANT, is_partial, tenant_page
from gateway.pools.serving import models_with_state
from identity.access import Caller
from identity.concerns import Concerns, concerns_of
from identity.permissions import Permission

_MODELS_LISTED = 6


@dataclass(frozen=True, slots=True)
class Step:
    """One of the first three things to do here; `address` "" where the caller may not or no page does it."""

    title: Promise
    text: Promise
    is_done: bool
    address: str
    action: Promise


@require_GET
@tenant_page(Permission.TENANT_READ)
def overview(request: HttpRequest, caller: Caller) -> HttpResponse:
    """The whole page; for htmx the figures alone."""
    now = timezone.now()
    found = figures_of(reader_of_member(caller), now=now)
    named = [budget.scope_id for budget in full_budgets(found) if budget.scope == "project"]
    concerns = concerns_of(caller, now=now, projects_named=named)
    used = [name for name, _totals in found.models]
    facts = Facts(caller, found, concerns, as_seen_by(caller.tenant, models_with_state(used)) if used else [])
    credit = next((budget for budget in found.budgets if budget.source == Source.CREDIT), None)
    values: dict[str, Any] = {
        "credit": credit,
        "figures": found,
        "month": found.month,
        "items": attention(facts),
        "now": now,
    }
    if is_partial(request):
        return render(request, "console/overview/_figures.html", values)
    steps = _steps(caller, found, concerns)
    is_new = not found.last_days.requests and not all(step.is_done for step in steps)
    values |= {"steps": steps if is_new else [], "models": _models(found), "chart": _chart(found)}
    response = render(request, "console/overview/overview.html", values)
    if request.COOKIES.get(LAST_TENANT) != caller.tenant.slug:
        is_over_tls = settings.SESSION_COOKIE_SECURE
        response.set_cookie(LAST_TENANT, caller.tenant.slug, secure=is_over_tls, httponly=True, samesite="Lax")
    return response


def _models(found: Overview) -> list[tuple[str, Any, int]]:
    """Name, totals and tokens of the models used most."""
    rows = [(name, totals, totals.input_tokens + totals.output_tokens) for name, totals in found.models]
    return rows[:_MODELS_LISTED]


def _chart(found: Overview) -> dict[str, Any]:
    days = days_until(found.today, DAYS)
    tokens: dict[str, dict[Any, int]] = {}
    for day, model, totals in found.days:
        tokens.setdefault(model, {})[day] = totals.input_tokens + totals.output_tokens
    return chart(days, stacked(days, tokens), "count")


def _steps(caller: Caller, found: Overview, concerns: Concerns) -> list[Step]:
    return [
        Step(
            _("Create a key"),
            _("It opens the API for an application or for you. It is shown once."),
            concerns.has_keys,
            _address(caller, Permission.KEY_CREATE, "key-new"),
            _("Create a key"),
        ),
        Step(
            _("Make the first call"),
            _("Any OpenAI client works: change the address and the key, nothing else."),
            bool(found.last_days.requests),
            _address(caller, Permission.TENANT_READ, "quick-start"),
            _("Quick start"),
        ),
        Step(
            _("Set a budget"),
            _("What would pass it is refused before it costs anything."),
            bool(found.budgets),
            _address(caller, Permission.BUDGET_UPDATE, "billing"),
            _("Billing"),
        ),
    ]


def _address(caller: Caller, permission: Permission, name: str) -> str:
    if not caller.may(permission):
        return ""
    try:
        return reverse(name, kwargs={"slug": caller.tenant.slug})
    except NoReverseMatch:
        return ""

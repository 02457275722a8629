"""What needs somebody's attention: at most five things, the weightiest first, each with the way to its remedy.

A rule is a function of the facts; it tells nothing that the caller could neither see nor mend.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.limits.places import Source
from billing.limits.standing import BudgetStanding
from billing.usage.overview import Overview
from console.request_words import words_of_code
from console.templatetags.console import plain_day, plain_money
from identity.access import Caller
from identity.concerns import COUNTED_MAX, Concerns
from identity.models import Tenant
from identity.permissions import Permission
from models_catalog.models import LanguageModel

SHOWN_MAX = 5
BUDGET_PERCENT = 80
MODEL_ENDS_WITHIN = timedelta(days=90)
# Fewer refusals a day than these are nobody's concern, however few there were the day before.
REFUSALS_MIN = 20
_NAMES_MAX = 3


@dataclass(frozen=True, slots=True)
class Item:
    """One thing. `tone`: yellow or red; `address` "" where no page of ours mends it."""

    weight: int
    tone: str
    icon: str
    title: str
    note: str
    address: str
    action: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules look at: all of it was read for the page anyway, or by one query more."""

    caller: Caller
    overview: Overview
    concerns: Concerns
    models: Sequence[LanguageModel]

    def address(self, name: str, query: dict[str, str] | None = None, **parts: Any) -> str:
        """Of a page of the tenant; "" where there is none."""
        try:
            found = reverse(name, kwargs={"slug": self.caller.tenant.slug, **parts})
        except NoReverseMatch:
            return ""
        return f"{found}?{urlencode(query)}" if query else found


def attention(facts: Facts) -> list[Item]:
    """At most `SHOWN_MAX`, the weightiest first."""
    items = [item for rule in RULES for item in rule(facts)]
    return sorted(items, key=lambda item: -item.weight)[:SHOWN_MAX]


def full_budgets(overview: Overview) -> list[BudgetStanding]:
    """Those used to `BUDGET_PERCENT` or more; not prepaid credit, which is meant to be used."""
    return [
        budget
        for budget in overview.budgets
        if budget.source != Source.CREDIT
        and budget.limit_nano_eur
        and budget.used_nano_eur * 100 >= budget.limit_nano_eur * BUDGET_PERCENT
    ]


def _suspension(facts: Facts) -> Iterator[Item]:
    tenant = facts.caller.tenant
    if tenant.status == Tenant.Status.SUSPENDED:
        title = _("The organisation is suspended: its keys are refused.")
        yield Item(200, "red", "stop", title, tenant.suspended_reason, facts.address("requests"), _("Requests"))


def _budgets(facts: Facts) -> Iterator[Item]:
    if not facts.caller.may(Permission.BUDGET_READ):
        return
    for budget in full_budgets(facts.overview):
        percent = budget.used_nano_eur * 100 // budget.limit_nano_eur
        left = plain_money(budget.left_nano_eur)
        is_out = budget.left_nano_eur == 0
        if budget.scope == "project":
            name = facts.concerns.projects.get(budget.scope_id, "")
            title = _("“{project}” has used {percent} % of its budget.").format(project=name, percent=percent)
            address = facts.address("project", project_id=budget.scope_id)
        else:
            title = _("{percent} % of the organisation's budget is used.").format(percent=percent)
            address = facts.address("billing") or facts.address("projects")
        note = _("Requests are refused until it starts anew or is raised.") if is_out and budget.is_hard else ""
        note = note or _("{left} are left.").format(left=left)
        yield Item(100 if is_out else 70, "red" if is_out else "yellow", "coins", title, note, address, _("Budget"))


def _credit(facts: Facts) -> Iterator[Item]:
    found = next((budget for budget in facts.overview.budgets if budget.source == Source.CREDIT), None)
    if found is not None and found.is_used_up and facts.caller.may(Permission.BUDGET_READ):
        may = facts.caller.may(Permission.BILLING_READ)
        address = facts.address("billing-credit") if may else ""
        title, note = _("The prepaid credit is used up."), _("Requests are refused until a payment is recorded.")
        yield Item(110, "red", "coins", title, note, address, _("Credit"))


def _projection(facts: Facts) -> Iterator[Item]:
    month = facts.overview.month
    if month.limit_nano_eur is None or not facts.caller.may(Permission.BUDGET_READ):
        return
    is_near = month.used_nano_eur * 100 >= month.limit_nano_eur * BUDGET_PERCENT
    if month.projected_nano_eur > month.limit_nano_eur and not is_near:
        title = _("At this pace the month ends at {projected}.").format(projected=plain_money(month.projected_nano_eur))
        note = _("The budget is {limit}.").format(limit=plain_money(month.limit_nano_eur))
        yield Item(60, "yellow", "chart", title, note, facts.address("usage"), _("Usage"))


def _models(facts: Facts) -> Iterator[Item]:
    today: date = facts.overview.today
    for model in facts.models:
        address = facts.address("model", model=model.name)
        if model.retired_on is not None and model.retired_on <= today + MODEL_ENDS_WITHIN:
            is_over = _is_over(model, today)
            words = _("{model} ended on {day}.") if is_over else _("{model} ends on {day}.")
            title = words.format(model=model.name, day=plain_day(model.retired_on))
            successor = model.successor.name if model.successor else ""
            note = _("{successor} follows it.").format(successor=successor) if successor else ""
            is_near = model.retired_on <= today + timedelta(days=14)
            yield Item(85 if is_near else 65, "red" if is_near else "yellow", "clock", title, note, address, _("Model"))
    away = [
        model.name for model in facts.models if not getattr(model, "is_served", True) and not _is_over(model, today)
    ]
    if away:
        title = ngettext(
            "No engine serves {names} at the moment.", "No engine serves {count} models that you use.", len(away)
        ).format(names=away[0], count=len(away))
        note = _refused(away)
        address = facts.address("model", model=away[0]) if len(away) == 1 else facts.address("models")
        yield Item(90, "red", "model", title, note if len(away) > 1 else "", address, _("Models"))


def _refused(away: list[str]) -> str:
    named, more = ", ".join(away[:_NAMES_MAX]), len(away) - _NAMES_MAX
    if more <= 0:
        return _("Requests to them are refused: {names}.").format(names=named)
    words = ngettext(
        "Requests to them are refused: {names} and {count} other.",
        "Requests to them are refused: {names} and {count} others.",
        more,
    )
    return words.format(names=named, count=more)


def _is_over(model: LanguageModel, today: date) -> bool:
    return model.retired_on is not None and model.retired_on <= today


def _expiring_keys(facts: Facts) -> Iterator[Item]:
    count = facts.concerns.expiring_keys
    if count and facts.concerns.first_expires_at:
        title = ngettext("{count} key expires within 14 days.", "{count} keys expire within 14 days.", count)
        day = plain_day(facts.concerns.first_expires_at)
        note = _("The first one on {day}.").format(day=day)
        address = facts.address("keys", {"state": "expiring"})
        yield Item(75, "yellow", "key", title.format(count=_up_to(count)), note, address, _("Keys"))


def _unanswered_keys(facts: Facts) -> Iterator[Item]:
    count = facts.concerns.unanswered_keys
    if count:
        title = ngettext(
            "{count} key has nobody who answers for it.", "{count} keys have nobody who answers for them.", count
        )
        note = _("Name a responsible person, so that somebody is told before it expires.")
        yield Item(50, "yellow", "person", title.format(count=_up_to(count)), note, facts.address("keys"), _("Keys"))


def _unused_keys(facts: Facts) -> Iterator[Item]:
    count = facts.concerns.unused_keys
    if count:
        title = ngettext("{count} key was not used for 90 days.", "{count} keys were not used for 90 days.", count)
        note = _("A key that nobody needs is best revoked.")
        address = facts.address("keys", {"state": "unused"})
        yield Item(20, "yellow", "key", title.format(count=_up_to(count)), note, address, _("Keys"))


def _refusals(facts: Facts) -> Iterator[Item]:
    pulse = facts.overview.pulse
    if pulse.refusals >= max(REFUSALS_MIN, 2 * pulse.refusals_before):
        title = ngettext(
            "{count} request was refused in 24 hours.", "{count} requests were refused in 24 hours.", pulse.refusals
        )
        note = _("The day before: {before}. Most often: {reason}.").format(
            before=pulse.refusals_before, reason=words_of_code(pulse.commonest_code).title
        )
        address = facts.address("requests", {"ended": f"code:{pulse.commonest_code}", "days": "1"})
        yield Item(55, "yellow", "stop", title.format(count=pulse.refusals), note, address, _("Requests"))


def _webhooks(facts: Facts) -> Iterator[Item]:
    count = facts.concerns.webhooks_off
    if count:
        title = ngettext("{count} webhook is off.", "{count} webhooks are off.", count)
        note = _("Nothing could be delivered to it for days.")
        address = facts.address("webhooks") or facts.address("settings")
        yield Item(58, "yellow", "send", title.format(count=count), note, address, _("Webhooks"))


RULES: tuple[Callable[[Facts], Iterator[Item]], ...] = (
    _suspension, _credit, _budgets, _projection, _models,
    _expiring_keys, _unanswered_keys, _unused_keys, _refusals, _webhooks,
)  # fmt: skip


def _up_to(count: int) -> str:
    return f"{count}+" if count == COUNTED_MAX else str(count)

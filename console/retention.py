"""What is kept for how long, what makes sure of it, and how old the oldest is. Only one of them is the operator's to
set: the others are what the code does, or what no part of it can undo.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet, Value
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.checks.sealing import Seals, seals
from billing.models import LedgerEntry, UsageRecord
from console.operator_jobs import Job, jobs
from gateway.pools.model_probes import MONTHS_KEPT
from gateway.pools.models import EngineSample, ModelProbe
from gateway.pools.reconciliation import SAMPLES_KEPT
from identity.models import AuditEvent, Notice, SignIn
from identity.notice_delivery import KEPT as NOTICES_KEPT
from identity.service import KnownService

FOR_EVER = gettext_lazy("for ever")


@dataclass(frozen=True, slots=True)
class Kept:
    """A kind of rows. `oldest`: when the first of them was made; `job`: what removes those that are older."""

    title: Promise
    kept: str | Promise
    why: str | Promise
    oldest: datetime | None
    job: Job | None = None
    seals: Seals | None = None
    is_settable: bool = False


def kept_rows(known: KnownService) -> list[Kept]:
    """All kinds. Four queries."""
    oldest, by_name = _oldest(), {job.name: job for job in jobs()}
    months = _("%(count)d months after their own") % {"count": known.months_of_usage}
    return [
        Kept(
            gettext_lazy("Usage records"),
            months,
            gettext_lazy("Then, in a month that was sealed, its totals may stand in for them: manage.py seal_usage."),
            oldest.get("usage"),
            seals=seals(),
            is_settable=True,
        ),
        Kept(
            gettext_lazy("Ledger, sealed totals"),
            FOR_EVER,
            gettext_lazy("Nothing removes them. Accounts and invoices have to be kept for 10 years."),
            oldest.get("ledger"),
        ),
        Kept(
            gettext_lazy("Audit"),
            FOR_EVER,
            gettext_lazy("Nothing removes it; 6 months are the least. Names beside it can be erased."),
            oldest.get("audit"),
        ),
        Kept(
            gettext_lazy("Sign-ins"),
            gettext_lazy("until the person is erased"),
            gettext_lazy("They are a part of what is known of a person."),
            oldest.get("sign_ins"),
        ),
        *_measured(oldest, by_name),
        Kept(
            gettext_lazy("Prompts and answers"),
            gettext_lazy("never"),
            gettext_lazy("They are passed on and written down nowhere."),
            None,
        ),
    ]


def _measured(oldest: dict[str, datetime], by_name: dict[str, Job]) -> list[Kept]:
    days, fixed = gettext_lazy("%(count)d days"), gettext_lazy("Fixed.")
    return [
        Kept(
            gettext_lazy("Notices and their mails"),
            str(days) % {"count": NOTICES_KEPT.days},
            fixed,
            oldest.get("notices"),
            by_name.get("identity.forget_notices"),
        ),
        Kept(
            gettext_lazy("Probes of models"),
            _("%(count)d months") % {"count": MONTHS_KEPT},
            gettext_lazy("Fixed: what was promised is compared with them for a year."),
            oldest.get("probes"),
            by_name.get("pools.forget_probes"),
        ),
        Kept(
            gettext_lazy("Engines' counters"),
            str(days) % {"count": SAMPLES_KEPT.days},
            gettext_lazy("Fixed: a month can be reconciled again while they are there."),
            oldest.get("counters"),
            by_name.get("pools.reconcile_hours"),
        ),
    ]


def _oldest() -> dict[str, datetime]:
    """When the first row of each kind was made, in one query. Their keys are in the order of time."""
    first, *others = (_first(name, rows, moment) for name, rows, moment in _kinds())
    return dict(first.union(*others, all=True))


def _first(name: str, rows: QuerySet[Any], moment: str) -> QuerySet[Any, tuple[Any, ...]]:
    named: QuerySet[Any] = rows.annotate(which_kind=Value(name), first_made_at=F(moment)).order_by("pk")
    return named.values_list("which_kind", "first_made_at")[:1]


def _kinds() -> Iterable[tuple[str, QuerySet[Any], str]]:
    return (
        ("usage", UsageRecord.objects.all(), "admitted_at"),
        ("ledger", LedgerEntry.objects.all(), "created_at"),
        ("audit", AuditEvent.objects.all(), "at"),
        ("sign_ins", SignIn.objects.all(), "began_at"),
        ("notices", Notice.objects.all(), "created_at"),
        ("probes", ModelProbe.objects.all(), "minute"),
        ("counters", EngineSample.objects.all(), "at"),
    )

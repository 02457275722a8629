"""What a month's bill has beside its usage: discounts and fixed lines, worked out when the month is closed.

Never in a request's way: the ledger charges full prices, and this says what is given back on them, in whole nano-EUR.
In this order, each on what the one before left of the usage:

1. steps of volume: each share counts for the part of the usage above its amount and not above the next one's;
2. the percentage;
3. the percentage that is given in exchange for committed spend.

Each is rounded down to a nano-EUR. So no bill is below zero, and one that used more never pays less. Where what is left
is less than what was committed to, the difference is a line; fees and services neither count for it nor are reduced.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any, Literal

from django.db.models import Q
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from billing.models import ContractTerm
from billing.models.agreements import WHOLE
from billing.money import format_eur
from billing.shares import format_percent, share_of
from identity.models import Tenant

Kind = ContractTerm.Kind


@dataclass(frozen=True, slots=True)
class TermLine:
    """A line of a bill. `amount_nano_eur`: below zero for a discount, never zero.

    key: unique and the same each time for a tenant and month
    explained: how the amount came about, in the language that is active
    """

    kind: Literal["fee", "discount"]
    key: str
    project_id: int | None
    description: str
    explained: str
    amount_nano_eur: int


def lines_at_closing(tenant: Tenant, month: date, used_nano_eur: int) -> list[TermLine]:
    """The fixed lines and discounts of the month, given by its first day, in which so much was used. One query.

    The same each time for a month that is over: terms do not change for the past.
    """
    return lines_of(terms_in(tenant, month), month, used_nano_eur)


def terms_in(tenant: Tenant, month: date) -> list[ContractTerm]:
    """The terms that count in the month, given by its first day."""
    running = Q(last_month=None) | Q(last_month__gte=month)
    found = ContractTerm.objects.filter(running, tenant=tenant, withdrawn_at=None, first_month__lte=month)
    return list(found.order_by("id"))


def counting_in(terms: Iterable[ContractTerm], month: date) -> list[ContractTerm]:
    """Those of the terms, none of them withdrawn, that count in the month, given by its first day."""
    return [
        term for term in terms if term.first_month <= month and (term.last_month is None or month <= term.last_month)
    ]


def lines_of(terms: Iterable[ContractTerm], month: date, used_nano_eur: int) -> list[TermLine]:
    """What the terms, all of which count in the month, make of the usage. A usage below zero counts as none."""
    terms = list(terms)
    left = max(used_nano_eur, 0)
    lines = [_fixed_line(term, month) for term in terms if term.kind in (Kind.FEE, Kind.SERVICE)]
    for kind in (Kind.STEPS, Kind.PERCENT, Kind.COMMITMENT):
        for term in (term for term in terms if term.kind == kind):
            line = _discount_line(term, month, left)
            if line.amount_nano_eur:
                lines.append(line)
                left += line.amount_nano_eur
    lines += [_shortfall_line(term, month, left) for term in terms if _shortfall(term, left)]
    return lines


def steps_discount(used_nano_eur: int, steps: Sequence[Mapping[str, Any]]) -> int:
    """What marginal steps, in rising order, give on a natural amount: the exact sum, rounded down."""
    bounds = [*(step["above_nano_eur"] for step in steps), None]
    parts = zip(steps, pairwise(bounds), strict=True)
    exact: int = sum(_between(used_nano_eur, *span) * step["share_millionths"] for step, span in parts)
    return exact // WHOLE


def discount_of(term: ContractTerm, left_nano_eur: int) -> int:
    """What the term gives back on so much, as a natural amount."""
    if term.kind == Kind.STEPS:
        return steps_discount(left_nano_eur, term.steps)
    return share_of(left_nano_eur, term.share_millionths or 0)


def _between(amount: int, above: int, until: int | None) -> int:
    """How much of the amount lies above the one and not above the other."""
    return max((amount if until is None else min(amount, until)) - above, 0)


def _shortfall(term: ContractTerm, paid_nano_eur: int) -> int:
    if term.kind != Kind.COMMITMENT or term.amount_nano_eur is None:
        return 0
    return max(term.amount_nano_eur - paid_nano_eur, 0)


def _fixed_line(term: ContractTerm, month: date) -> TermLine:
    assert term.amount_nano_eur is not None
    explained = _("A fixed amount a month.") if term.kind == Kind.FEE else _("A service, charged once.")
    return TermLine("fee", _key(term, month), None, term.description, explained, term.amount_nano_eur)


def _discount_line(term: ContractTerm, month: date, left: int) -> TermLine:
    names = {
        Kind.STEPS: _("Discount by volume"),
        Kind.PERCENT: _("Discount"),
        Kind.COMMITMENT: _("Discount for committed spend"),
    }
    description = term.description if term.description and term.kind != Kind.COMMITMENT else names[Kind(term.kind)]
    return TermLine(
        "discount", _key(term, month, "discount"), None, description, _how(term, left), -discount_of(term, left)
    )


def _shortfall_line(term: ContractTerm, month: date, left: int) -> TermLine:
    assert term.amount_nano_eur is not None
    words = _("%(committed)s were committed to; the usage after discounts came to %(paid)s.")
    explained = words % {"committed": _money(term.amount_nano_eur), "paid": _money(left)}
    description = term.description or _("Committed spend that was not used")
    return TermLine("fee", _key(term, month, "shortfall"), None, description, explained, _shortfall(term, left))


def _how(term: ContractTerm, left: int) -> str:
    if term.kind != Kind.STEPS:
        values = {"percent": _percent(term.share_millionths or 0), "amount": _money(left)}
        return _("%(percent)s of %(amount)s.") % values
    parts = [
        _("%(percent)s above %(amount)s")
        % {"percent": _percent(step["share_millionths"]), "amount": _money(step["above_nano_eur"])}
        for step in term.steps
        if left > step["above_nano_eur"]
    ]
    return _("On %(amount)s: %(steps)s.") % {"amount": _money(left), "steps": ", ".join(parts)}


def _key(term: ContractTerm, month: date, part: str = "") -> str:
    return f"term:{term.pk}:{month:%Y-%m}" + (f":{part}" if part else "")


def _money(nano_eur: int) -> str:
    return format_eur(nano_eur, get_language() or "en")


def _percent(share: int) -> str:
    return format_percent(share, get_language() or "en")

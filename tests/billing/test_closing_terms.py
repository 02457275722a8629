"""Discounts and fixed lines: what they make of a month's usage, and which may be agreed on."""

from datetime import date
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from billing.closing.terms import TermLine, lines_at_closing, lines_of
from billing.contracts.terms import TermWish, add_term, end_term, terms_of, this_month
from billing.models import ContractTerm
from billing.models.agreements import WHOLE
from billing.shares import NotAShare, exact_percent, format_percent, parse_percent
from identity.errors import Forbidden, Invalid, NotFound
from identity.models import AuditEvent, Notice, Tenant
from identity.operators import Operator
from tests.support.operators import RUNS
from tests.support.people import make_cast

EUR = 10**9
MARCH, MAY = date(2027, 3, 1), date(2027, 5, 1)
Kind = ContractTerm.Kind

amounts = st.integers(min_value=0, max_value=10**15)
shares = st.integers(min_value=1, max_value=WHOLE)


@st.composite
def agreed(draw: st.DrawFn) -> list[ContractTerm]:
    """Any terms that may stand beside each other."""
    bounds = sorted(draw(st.sets(amounts, min_size=1, max_size=5)))
    steps = [{"above_nano_eur": above, "share_millionths": draw(shares)} for above in bounds]
    exchange = draw(st.none() | shares)
    terms = [
        ContractTerm(pk=1, kind=Kind.STEPS, steps=steps),
        ContractTerm(pk=2, kind=Kind.PERCENT, share_millionths=draw(shares)),
        ContractTerm(pk=3, kind=Kind.COMMITMENT, amount_nano_eur=draw(amounts) + 1, share_millionths=exchange),
        ContractTerm(pk=4, kind=Kind.FEE, description="A line", amount_nano_eur=draw(amounts) + 1),
        ContractTerm(pk=5, kind=Kind.SERVICE, description="A day", amount_nano_eur=draw(amounts) + 1),
    ]
    return draw(st.lists(st.sampled_from(terms), unique_by=lambda term: term.pk))


def bill(terms: list[ContractTerm], used: int) -> int:
    return used + sum(line.amount_nano_eur for line in lines_of(terms, MARCH, used))


@given(agreed(), amounts)
def test_no_bill_is_below_zero_nor_below_what_was_committed_to(terms: list[ContractTerm], used: int) -> None:
    least = sum(term.amount_nano_eur or 0 for term in terms)
    assert bill(terms, used) >= least
    assert all(line.amount_nano_eur != 0 for line in lines_of(terms, MARCH, used))


@given(agreed(), amounts, st.integers(min_value=0, max_value=10**12))
def test_one_that_uses_more_never_pays_less(terms: list[ContractTerm], used: int, more: int) -> None:
    assert bill(terms, used) <= bill(terms, used + more)


@given(agreed(), amounts)
def test_each_discount_is_the_exact_share_rounded_down(terms: list[ContractTerm], used: int) -> None:
    left = used
    for kind in (Kind.STEPS, Kind.PERCENT, Kind.COMMITMENT):
        for term in (one for one in terms if one.kind == kind):
            exact = _exact(term, left)
            given_back = -sum(line.amount_nano_eur for line in lines_of([term], MARCH, left) if line.kind == "discount")
            assert 0 <= exact - given_back < 1
            left -= given_back


def _exact(term: ContractTerm, used: int) -> Fraction:
    """By another way: what each step adds over the one before it."""
    if term.kind != Kind.STEPS:
        return Fraction(used * (term.share_millionths or 0), WHOLE)
    total, before = Fraction(0), 0
    for step in term.steps:
        total += Fraction(max(used - step["above_nano_eur"], 0) * (step["share_millionths"] - before), WHOLE)
        before = step["share_millionths"]
    return total


@given(agreed(), amounts)
def test_the_keys_of_a_month_differ_and_stay(terms: list[ContractTerm], used: int) -> None:
    keys = [line.key for line in lines_of(terms, MARCH, used)]
    assert len(keys) == len(set(keys))
    assert keys == [line.key for line in lines_of(terms, MARCH, used)]
    assert not {line.key for line in lines_of(terms, MAY, used)} & set(keys)


def test_steps_then_percentage_then_commitment() -> None:
    terms = [
        ContractTerm(pk=3, kind=Kind.COMMITMENT, amount_nano_eur=3_000 * EUR, share_millionths=100_000),
        ContractTerm(pk=2, kind=Kind.PERCENT, share_millionths=100_000),
        ContractTerm(
            pk=1,
            kind=Kind.STEPS,
            steps=[
                {"above_nano_eur": 1_000 * EUR, "share_millionths": 50_000},
                {"above_nano_eur": 2_000 * EUR, "share_millionths": 200_000},
            ],
        ),
    ]
    shown = [(line.kind, line.amount_nano_eur, line.explained) for line in lines_of(terms, MARCH, 3_000 * EUR)]
    assert shown == [
        ("discount", -250 * EUR, "On €3,000.00: 5% above €1,000.00, 20% above €2,000.00."),
        ("discount", -275 * EUR, "10% of €2,750.00."),
        ("discount", -247_500_000_000, "10% of €2,475.00."),
        (
            "fee",
            772_500_000_000,
            "€3,000.00 were committed to; the usage after discounts came to €2,227.50.",
        ),
    ]


@pytest.mark.parametrize(("text", "share"), [("10", 100_000), ("12,5 %", 125_000), ("0.0001", 1), ("100%", WHOLE)])
def test_a_percentage_is_read_as_it_is_written(text: str, share: int) -> None:
    assert parse_percent(text) == share
    assert parse_percent(exact_percent(share)) == share
    assert parse_percent(format_percent(share, "fr")) == share


@pytest.mark.parametrize("text", ["", "-5", "1e2", "0.00001", "ten"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(NotAShare):
        parse_percent(text)


# ---- what may be agreed on
@pytest.fixture
def tenant(database: None) -> Tenant:
    return make_cast().tenant


def month(tenant: Tenant, later: int = 0) -> date:
    first = this_month(tenant)
    index = first.year * 12 + first.month - 1 + later
    return date(index // 12, index % 12 + 1, 1)


def percent(first: date, last: date | None = None, share: int = 100_000) -> TermWish:
    return TermWish("percent", first, last, share_millionths=share)


def test_terms_count_in_their_months_only(tenant: Tenant) -> None:
    add_term(by=RUNS, tenant=tenant, wish=percent(month(tenant, 1), month(tenant, 2)))
    service = TermWish("service", month(tenant, 2), description="Two days of training", amount_nano_eur=1_500 * EUR)
    add_term(by=RUNS, tenant=tenant, wish=service)

    def lines(later: int) -> list[TermLine]:
        return lines_at_closing(tenant, month(tenant, later), 100 * EUR)

    assert [sum(line.amount_nano_eur for line in lines(later)) for later in range(4)] == [
        0,
        -10 * EUR,
        1_490 * EUR,
        0,
    ]


def test_the_month_is_that_of_the_tenants_time_zone(tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(time_zone="Pacific/Kiritimati")
    tenant.refresh_from_db()
    assert this_month(tenant) == timezone.localdate(timezone=ZoneInfo("Pacific/Kiritimati")).replace(day=1)


def test_the_same_again_is_the_same_one_and_told_once(tenant: Tenant) -> None:
    wish = percent(month(tenant))
    first, is_new = add_term(by=RUNS, tenant=tenant, wish=wish)
    assert (is_new, add_term(by=RUNS, tenant=tenant, wish=wish)) == (True, (first, False))
    assert Notice.objects.filter(tenant=tenant, kind="contract.terms_changed").count() == 1
    assert AuditEvent.objects.filter(tenant=tenant, action="contract.term_added").count() == 1


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("kind", {"kind": "gift"}),
        ("share", {"share_millionths": 0}),
        ("share", {"share_millionths": -1}),
        ("share", {"share_millionths": WHOLE + 1}),
        ("share", {"share_millionths": None}),
        ("last_month", {"last_month": date(2026, 1, 1)}),
        ("last_month", {"last_month": date(2199, 1, 1)}),
        ("first_month", {"first_month": date(2026, 1, 1)}),
        ("last_month", {"kind": "commitment", "amount_nano_eur": EUR}),
        ("amount", {"kind": "fee", "description": "Support", "amount_nano_eur": -EUR}),
        ("amount", {"kind": "service", "description": "Support"}),
        ("description", {"kind": "fee", "amount_nano_eur": EUR}),
        ("steps", {"kind": "steps"}),
        ("steps", {"kind": "steps", "steps": [(2 * EUR, 10), (EUR, 20)]}),
        ("steps", {"kind": "steps", "steps": [(EUR, 10), (EUR, 20)]}),
        ("steps", {"kind": "steps", "steps": [(-EUR, 10)]}),
        ("steps", {"kind": "steps", "steps": [(EUR, WHOLE + 1)]}),
        ("steps", {"kind": "steps", "steps": [(at, 1) for at in range(21)]}),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(tenant: Tenant, field: str, change: dict[str, Any]) -> None:
    values: dict[str, Any] = {"kind": "percent", "first_month": month(tenant), "share_millionths": 50_000} | change
    steps = values.pop("steps", ())
    values["steps"] = [{"above_nano_eur": above, "share_millionths": share} for above, share in steps]
    with pytest.raises(Invalid) as refused:
        add_term(by=RUNS, tenant=tenant, wish=TermWish(**values))
    assert refused.value.field == field
    assert terms_of(tenant) == []


@pytest.mark.parametrize(
    ("first", "last", "field"), [(2, 3, "first_month"), (0, None, "last_month"), (0, 1, "last_month"), (1, 1, "")]
)
def test_two_discounts_of_a_kind_never_count_in_one_month(
    tenant: Tenant, first: int, last: int | None, field: str
) -> None:
    add_term(by=RUNS, tenant=tenant, wish=percent(month(tenant, 1 if field else 2), month(tenant, 2)))
    wish = percent(month(tenant, first), None if last is None else month(tenant, last), 20_000)
    if not field:
        add_term(by=RUNS, tenant=tenant, wish=wish)
        return
    with pytest.raises(Invalid) as refused:
        add_term(by=RUNS, tenant=tenant, wish=wish)
    assert refused.value.field == field


def test_a_term_ends_but_never_in_the_past(tenant: Tenant) -> None:
    term, _ = add_term(by=RUNS, tenant=tenant, wish=percent(month(tenant)))
    for too_early in (-2, -14):
        with pytest.raises(Invalid, match="over"):
            end_term(by=RUNS, tenant=tenant, term_id=term.pk, last_month=month(tenant, too_early))
    assert end_term(by=RUNS, tenant=tenant, term_id=term.pk, last_month=month(tenant))
    assert not end_term(by=RUNS, tenant=tenant, term_id=term.pk, last_month=month(tenant))
    with pytest.raises(Invalid, match="follows"):
        end_term(by=RUNS, tenant=tenant, term_id=term.pk, last_month=month(tenant, 1))
    assert end_term(by=RUNS, tenant=tenant, term_id=term.pk, last_month=month(tenant, -1))
    assert terms_of(tenant) == []
    with pytest.raises(NotFound):
        end_term(by=RUNS, tenant=tenant, term_id=term.pk, last_month=month(tenant))


def test_only_who_may_change_contracts_agrees_on_terms(tenant: Tenant) -> None:
    reader = Operator(RUNS.actor, frozenset())
    with pytest.raises(Forbidden):
        add_term(by=reader, tenant=tenant, wish=percent(month(tenant)))

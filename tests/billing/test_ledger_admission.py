"""admit_v1: what is held, what is refused, and that a repetition moves nothing."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from billing.models import Budget, BudgetPeriod, Contract, Hold
from billing.models import Scope as Holder
from gateway.relay.ids import new_request_id
from identity.models import ApiKey, Project, Tenant
from tests.billing.raw_ledger import RawLedger, request_of, settlement_of, standing_of, used_of
from tests.support.ledger import PRICES, House, make_house, make_price


@pytest.fixture
def house(database: None) -> House:
    return make_house()


def test_any_number_of_budgets_on_the_path_is_held_at_once(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    budgets = [
        house.budget(Holder.KEY, key.pk, 10**9),
        house.budget(Holder.KEY, key.pk, 10**9, period="day"),
        house.budget(Holder.PROJECT, house.project.pk, 10**9),
        house.budget(Holder.TENANT, house.tenant.pk, 10**9),
        house.budget(Holder.TENANT, house.tenant.pk, 10**9, period="once"),
        house.budget(Holder.TENANT, house.tenant.pk, 10**9, source="tier"),
    ]
    other = house.budget(Holder.KEY, house.key().row.pk, 10**9)
    [verdict] = ledger.admit(request_of(house, key))
    assert verdict.verdict == "admitted"
    assert [standing_of(budget.pk) for budget in budgets] == [(0, 1_000_000)] * 6
    assert not BudgetPeriod.objects.filter(budget_id=other.pk, held_nano_eur__gt=0).exists()


def test_a_batch_holds_for_each_of_its_requests(house: House, ledger: RawLedger) -> None:
    key, other = house.key().row, house.key().row
    shared = house.budget(Holder.TENANT, house.tenant.pk, 10**9)
    own = house.budget(Holder.KEY, key.pk, 10**9)
    batch = [request_of(house, key) for _ in range(3)] + [request_of(house, other) for _ in range(2)]
    assert [verdict.verdict for verdict in ledger.admit(*batch)] == ["admitted"] * 5
    assert (standing_of(shared.pk), standing_of(own.pk)) == ((0, 5_000_000), (0, 3_000_000))


def test_a_crowded_batch_admits_what_fits_and_tells_the_others_why(house: House, ledger: RawLedger) -> None:
    key, other = house.key().row, house.key().row
    budget = house.budget(Holder.KEY, key.pk, 2_500_000)
    batch = [request_of(house, key) for _ in range(4)] + [request_of(house, other)]
    verdicts = ledger.admit(*batch)
    assert [verdict.verdict for verdict in verdicts] == ["admitted", "admitted", "budget", "budget", "admitted"]
    detail = verdicts[2].detail
    assert detail is not None
    assert (detail["budget_id"], detail["headroom_nano_eur"], detail["held_nano_eur"]) == (
        budget.pk,
        500_000,
        2_000_000,
    )
    assert standing_of(budget.pk) == (0, 2_000_000)


@pytest.mark.parametrize("is_crowded", [False, True])
def test_a_lost_answer_is_replayed_and_moves_nothing(house: House, ledger: RawLedger, is_crowded: bool) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 2_000_000 if is_crowded else 10**9)
    limit = house.limit(Holder.KEY, key.pk, "tokens", "day", 200 if is_crowded else 10**6)
    batch = [request_of(house, key), request_of(house, key)]
    assert [verdict.verdict for verdict in ledger.admit(*batch)] == ["admitted"] * 2
    again = ledger.admit(*[row | {"replay": True} for row in batch])
    assert [verdict.verdict for verdict in again] == ["admitted"] * 2
    assert [verdict.verdict for verdict in ledger.admit(*batch)] == ["admitted"] * 2  # and without the hint, too
    assert (standing_of(budget.pk), used_of(limit.pk)) == ((0, 2_000_000), 200)


def test_a_request_that_was_settled_is_never_held_again(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    request = request_of(house, key)
    ledger.admit(request)
    ledger.settle(settlement_of(house, request["request_id"]))
    assert ledger.admit(request | {"replay": True})[0].verdict == "settled"
    assert not Hold.objects.filter(request_id=request["request_id"]).exists()


def test_one_id_twice_in_a_batch_holds_once(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 10**9)
    request = request_of(house, key)
    assert ledger.admit(request, request)[0].verdict == "admitted"
    assert standing_of(budget.pk) == (0, 1_000_000)


def test_a_repeated_idempotency_key_names_the_first_request_even_where_nothing_is_left(
    house: House, ledger: RawLedger
) -> None:
    key = house.key().row
    house.budget(Holder.KEY, key.pk, 1_000_000)
    first = request_of(house, key, idempotency="a")
    [admitted] = ledger.admit(first)
    [repeated] = ledger.admit(request_of(house, key, idempotency="a"))
    assert (admitted.verdict, repeated.verdict) == ("admitted", "repeated")
    assert repeated.detail == {"request_id": first["request_id"]}
    assert ledger.admit(first | {"replay": True})[0].verdict == "admitted"


def test_of_two_with_one_idempotency_key_in_a_batch_the_first_is_admitted(house: House, ledger: RawLedger) -> None:
    key, other = house.key().row, house.key().row
    verdicts = ledger.admit(
        request_of(house, key, idempotency="a"),
        request_of(house, key, idempotency="a"),
        request_of(house, other, idempotency="a"),
    )
    assert [verdict.verdict for verdict in verdicts] == ["admitted", "repeated", "admitted"]


def test_a_refused_request_leaves_its_idempotency_key_free(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    house.budget(Holder.KEY, key.pk, 1_000_000)
    assert ledger.admit(request_of(house, key, amount=2_000_000, idempotency="a"))[0].verdict == "budget"
    assert ledger.admit(request_of(house, key, amount=500_000, idempotency="a"))[0].verdict == "admitted"


CHANGES: dict[str, Any] = {
    "key_revoked": lambda key: ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now()),
    "key_expired": lambda key: ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(1)),
    "project_archived": lambda key: Project.objects.filter(pk=key.project_id).update(status="archived"),
    "tenant_suspended": lambda key: Tenant.objects.filter(pk=key.tenant_id).update(status="suspended"),
    "no_contract": lambda key: Contract.objects.filter(tenant=key.tenant_id).update(ends_at=timezone.now()),
    "key_unknown": lambda key: key.delete(),
    "stale": lambda key: ApiKey.objects.filter(pk=key.pk).update(name="changed"),
}


@pytest.mark.parametrize("verdict", CHANGES)
def test_what_changed_since_the_gateway_looked_is_seen_at_admission(
    house: House, ledger: RawLedger, verdict: str
) -> None:
    key = house.key().row
    request = request_of(house, key)
    CHANGES[verdict](key)
    assert ledger.admit(request)[0].verdict == verdict
    assert not Hold.objects.filter(request_id=request["request_id"]).exists()


def test_I4_a_price_that_is_not_in_force_now_is_stale(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    old = request_of(house, key)
    newer = make_price(
        house.price_version.rate_card, house.model, {meter: 2 * price for meter, price in PRICES.items()}
    )
    # Its start is later than the other's by the time that the test took.
    assert ledger.admit(old)[0].verdict == "stale"
    assert ledger.admit(old | {"price_version_id": newer.pk})[0].verdict == "admitted"


def test_I4_a_price_of_tomorrow_is_not_in_force(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    card = house.price_version.rate_card
    tomorrow = card.versions.create(model=house.model, valid_from=timezone.now() + timedelta(1))
    assert ledger.admit(request_of(house, key))[0].verdict == "admitted"
    assert ledger.admit(request_of(house, key, price_version_id=tomorrow.pk))[0].verdict == "stale"


def test_I3_an_alert_only_budget_counts_and_never_refuses(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 1, is_hard=False)
    assert ledger.admit(request_of(house, key), request_of(house, key))[1].verdict == "admitted"
    assert standing_of(budget.pk) == (0, 2_000_000)


def test_a_budget_of_nothing_admits_only_what_costs_nothing(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    house.budget(Holder.KEY, key.pk, 0)
    assert ledger.admit(request_of(house, key, amount=1))[0].verdict == "budget"
    assert ledger.admit(request_of(house, key, amount=0))[0].verdict == "admitted"


def test_a_removed_budget_binds_nobody(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 0)
    Budget.objects.filter(pk=budget.pk).update(is_active=False)
    assert ledger.admit(request_of(house, key))[0].verdict == "admitted"


@pytest.mark.parametrize(
    ("what", "window", "takes"),
    [("requests", "minute", 1), ("tokens", "hour", 100), ("output_tokens", "day", 60), ("concurrent", "none", 1)],
)
def test_a_limit_of_each_kind_is_never_passed(
    house: House, ledger: RawLedger, what: str, window: str, takes: int
) -> None:
    key = house.key().row
    limit = house.limit(Holder.KEY, key.pk, what, window, 2 * takes + takes // 2)
    verdicts = ledger.admit(*[request_of(house, key) for _ in range(3)])
    assert [verdict.verdict for verdict in verdicts] == ["admitted", "admitted", "limit"]
    detail = verdicts[2].detail
    assert detail is not None
    assert (detail["limit_id"], detail["what"], detail["used"], detail["asked"]) == (limit.pk, what, 2 * takes, takes)
    assert 1 <= detail["seconds"] <= 86_400
    assert used_of(limit.pk) == 2 * takes


def test_requests_at_once_and_a_rate_stand_side_by_side_when_a_window_turns(
    house: House, ledger: RawLedger, owner_database_url: str
) -> None:
    key = house.key().row
    at_once = house.limit(Holder.KEY, key.pk, "concurrent", "none", 5)
    rate = house.limit(Holder.KEY, key.pk, "requests", "minute", 5)
    assert ledger.admit(request_of(house, key))[0].verdict == "admitted"
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute("update billing_limit_window set ends_at = now() - interval '1 s' where limit_id = %s", [rate.pk])
    assert ledger.admit(request_of(house, key))[0].verdict == "admitted"
    assert (used_of(at_once.pk), used_of(rate.pk)) == (2, 1)


def test_the_standing_is_that_of_the_tightest_limit(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    house.limit(Holder.TENANT, house.tenant.pk, "requests", "minute", 100)
    house.limit(Holder.KEY, key.pk, "requests", "hour", 7)
    house.limit(Holder.KEY, key.pk, "tokens", "minute", 1_000)
    [verdict] = ledger.admit(request_of(house, key))
    assert verdict.detail is not None
    assert verdict.detail["requests"][:2] == [7, 6]
    assert verdict.detail["tokens"][:2] == [1_000, 900]


def test_an_unknown_incarnation_is_refused(house: House, ledger: RawLedger) -> None:
    ledger.incarnation = new_request_id()
    with pytest.raises(psycopg.Error, match="is fenced"):
        ledger.admit(request_of(house, house.key().row))


def test_a_limit_of_nothing_refuses_everything(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    house.limit(Holder.KEY, key.pk, "requests", "day", 0)
    assert ledger.admit(request_of(house, key))[0].verdict == "limit"

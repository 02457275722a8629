"""settle_v1: one record a request, charged once, never more than was held."""

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db.models import Sum
from django.utils import timezone

from billing.limits.budgets import change_limit
from billing.models import BudgetPeriod, Hold, Refusal, RefusalCount, UsageHour, UsageRecord
from billing.models import Scope as Holder
from billing.pricing import Quantities
from gateway.relay.ids import new_request_id
from tests.billing.raw_ledger import RawLedger, request_of, settlement_of, standing_of, used_of
from tests.support.ledger import PRICES, House, make_house, make_price
from tests.support.people import TESTS

COST = 42_000  # 40 input and 60 output tokens at the test prices


@pytest.fixture
def house(database: None) -> House:
    return make_house()


def admitted(house: House, ledger: RawLedger, key: Any, **changes: Any) -> str:
    request = request_of(house, key, **changes)
    [verdict] = ledger.admit(request)
    assert verdict.verdict == "admitted", verdict
    return str(request["request_id"])


def test_a_charge_moves_the_hold_to_spent_and_writes_the_record_and_its_hour(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 10**9)
    request_id = admitted(house, ledger, key)
    assert ledger.settle(settlement_of(house, request_id)) == {request_id: ("settled", COST, 0)}
    assert standing_of(budget.pk) == (COST, 0)
    assert not Hold.objects.filter(request_id=request_id).exists()
    record = UsageRecord.objects.get(request_id=request_id)
    assert (record.cost_nano_eur, record.input_nano_eur, record.output_nano_eur) == (COST, 6_000, 36_000)
    assert (record.contract_id, record.price_version_id) == (house.tenant.contracts.get().pk, house.price_version.pk)
    hour = UsageHour.objects.get(tenant_id=house.tenant.pk)
    assert (hour.requests, hour.cost_nano_eur, hour.input_quantity, hour.output_quantity) == (1, COST, 40, 60)


def test_a_charge_repeated_answers_the_same_and_moves_nothing(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 10**9)
    limit = house.limit(Holder.KEY, key.pk, "tokens", "day", 10**6)
    request_id = admitted(house, ledger, key)
    ledger.settle(settlement_of(house, request_id))
    dearer = settlement_of(house, request_id, Quantities(99, 0, 999))
    assert ledger.settle(dearer) == {request_id: ("exists", COST, 0)}
    assert ledger.settle(settlement_of(house, request_id), dearer) == {request_id: ("exists", COST, 0)}
    assert (standing_of(budget.pk), used_of(limit.pk)) == ((COST, 0), 100)
    assert UsageHour.objects.get(tenant_id=house.tenant.pk).requests == 1


def test_a_request_that_was_never_admitted_cannot_be_charged(house: House, ledger: RawLedger) -> None:
    unknown = str(new_request_id())
    known = admitted(house, ledger, house.key().row)
    told = ledger.settle(settlement_of(house, unknown), settlement_of(house, known))
    assert told == {unknown: ("unknown", None, None), known: ("settled", COST, 0)}


def test_I3_no_more_is_charged_than_was_held_and_the_rest_is_recorded(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 10_000)
    request_id = admitted(house, ledger, key, amount=10_000)
    assert ledger.settle(settlement_of(house, request_id)) == {request_id: ("settled", 10_000, COST - 10_000)}
    assert standing_of(budget.pk) == (10_000, 0)
    record = UsageRecord.objects.get(request_id=request_id)
    assert (record.cost_nano_eur, record.uncharged_nano_eur, record.output_nano_eur) == (10_000, COST - 10_000, 36_000)


def test_a_token_limit_is_corrected_to_what_was_used_and_a_place_at_once_is_freed(
    house: House, ledger: RawLedger
) -> None:
    key = house.key().row
    tokens = house.limit(Holder.KEY, key.pk, "tokens", "day", 10**6)
    output = house.limit(Holder.TENANT, house.tenant.pk, "output_tokens", "hour", 10**6)
    at_once = house.limit(Holder.KEY, key.pk, "concurrent", "none", 2)
    requests = house.limit(Holder.KEY, key.pk, "requests", "day", 10)
    request_id = admitted(house, ledger, key)
    assert [used_of(limit.pk) for limit in (tokens, output, at_once, requests)] == [100, 60, 1, 1]
    ledger.settle(settlement_of(house, request_id, Quantities(10, 5, 7, 2)))
    assert [used_of(limit.pk) for limit in (tokens, output, at_once, requests)] == [24, 9, 0, 1]


def test_what_was_estimated_in_the_last_window_is_not_given_back_to_this_one(
    house: House, ledger: RawLedger, owner_database_url: str
) -> None:
    key = house.key().row
    limit = house.limit(Holder.KEY, key.pk, "tokens", "minute", 10**6)
    old = admitted(house, ledger, key)
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute("update billing_limit_window set ends_at = now() where limit_id = %s", [limit.pk])
        owner.execute("update billing_hold set admitted_at = now() - interval '2 minutes' where request_id = %s", [old])
    admitted(house, ledger, key)
    assert used_of(limit.pk) == 100
    ledger.settle(settlement_of(house, old, Quantities()))
    assert used_of(limit.pk) == 100


def test_I4_the_price_of_the_admission_is_billed_though_it_changed_meanwhile(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    request_id = admitted(house, ledger, key)
    make_price(house.price_version.rate_card, house.model, dict.fromkeys(PRICES, 10**12))
    ledger.settle(settlement_of(house, request_id))
    record = UsageRecord.objects.get(request_id=request_id)
    assert (record.price_version_id, record.cost_nano_eur) == (house.price_version.pk, COST)


def test_I3_a_limit_lowered_below_what_is_spent_stops_now_and_the_cap_sinks_to_it(
    house: House, ledger: RawLedger
) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 10**9)
    spent = admitted(house, ledger, key)
    ledger.settle(settlement_of(house, spent))
    running = admitted(house, ledger, key)
    change_limit(budget=budget, limit_nano_eur=1_000, actor=TESTS)
    period = BudgetPeriod.objects.get(budget_id=budget.pk)
    assert (period.limit_nano_eur, period.cap_nano_eur) == (1_000, COST + 1_000_000)
    assert ledger.admit(request_of(house, key, amount=1))[0].verdict == "budget"
    ledger.settle(settlement_of(house, running))
    period.refresh_from_db()
    assert (period.cap_nano_eur, period.spent_nano_eur, period.held_nano_eur) == (2 * COST, 2 * COST, 0)
    change_limit(budget=budget, limit_nano_eur=2 * COST + 1, actor=TESTS)
    assert ledger.admit(request_of(house, key, amount=1))[0].verdict == "admitted"


def test_I3_a_request_belongs_to_the_period_of_its_admission(
    house: House, ledger: RawLedger, owner_database_url: str
) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 10**9, period="day")
    old = admitted(house, ledger, key)
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute("update billing_budget_period set ends_at = now() where budget_id = %s", [budget.pk])
    new = admitted(house, ledger, key)
    ledger.settle(settlement_of(house, old), settlement_of(house, new, Quantities()))
    first, second = BudgetPeriod.objects.filter(budget_id=budget.pk).order_by("id")
    assert (first.spent_nano_eur, first.held_nano_eur) == (COST, 0)
    assert (second.spent_nano_eur, second.held_nano_eur) == (0, 0)
    assert second.starts_at >= first.ends_at


def test_a_poisoned_settlement_fails_its_batch_and_moves_nothing(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 10**9)
    good, bad = admitted(house, ledger, key), admitted(house, ledger, key)
    poison = settlement_of(house, bad) | {"input_quantity": -1}
    with pytest.raises(psycopg.errors.CheckViolation):
        ledger.settle(settlement_of(house, good), poison)
    assert standing_of(budget.pk) == (0, 2_000_000)
    with pytest.raises(psycopg.errors.CheckViolation, match="amounts_are_not_negative"):
        ledger.settle(settlement_of(house, bad) | {"input_nano_eur": -1})
    ledger.settle(settlement_of(house, good), settlement_of(house, bad))
    assert standing_of(budget.pk) == (2 * COST, 0)


def test_the_hours_add_up_to_the_records(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    ids = [admitted(house, ledger, key) for _ in range(5)]
    ledger.settle(*[settlement_of(house, id_, Quantities(3, 2, 5, 1)) for id_ in ids[:3]])
    ledger.settle(*[settlement_of(house, id_, status="engine_failed", http_status=502) for id_ in ids[3:]])
    columns = ["input_quantity", "cached_quantity", "output_quantity", "reasoning_quantity", "cost_nano_eur"]
    sums = [Sum(column) for column in columns]
    mine = {"tenant_id": house.tenant.pk}
    assert UsageHour.objects.filter(**mine).aggregate(*sums) == UsageRecord.objects.filter(**mine).aggregate(*sums)
    assert UsageHour.objects.filter(**mine).aggregate(Sum("failed_requests"))["failed_requests__sum"] == 2


def test_a_refusal_is_kept_once_and_counted_once_however_often_it_is_told(house: House, ledger: RawLedger) -> None:
    key = house.key().row
    at = timezone.now().replace(second=30)
    told = {
        "tenant_id": key.tenant_id,
        "project_id": key.project_id,
        "key_id": key.pk,
        "code": "insufficient_quota",
        "limit_name": "budget/month/key",
        "model": house.model.name,
    }
    batch = [told | {"request_id": str(new_request_id()), "at": (at + timedelta(0, n)).isoformat()} for n in range(3)]
    for _ in range(2):
        ledger.connection.execute("select refuse_v1(%s::jsonb)", [json.dumps(batch)])
    assert Refusal.objects.filter(key_id=key.pk).count() == 3
    assert RefusalCount.objects.get(key_id=key.pk).refusals == 3


def test_the_last_thousand_refusals_of_a_key_are_kept_and_all_are_counted(house: House, ledger: RawLedger) -> None:
    key, quiet = house.key().row, house.key().row
    ledger.connection.execute(
        """select refuse_v1(jsonb_agg(jsonb_build_object('request_id', gen_random_uuid(),
            'tenant_id', %(tenant)s::bigint,
            'project_id', %(project)s::bigint, 'key_id', case n when 1 then %(quiet)s::bigint else %(key)s::bigint end,
            'at', now() - make_interval(secs => n), 'code', 'x', 'limit_name', '', 'model', n::text)))
        from generate_series(1, 1103) n""",
        {"tenant": key.tenant_id, "project": key.project_id, "key": key.pk, "quiet": quiet.pk},
    )
    ledger.connection.execute("select tidy_v1(1000, interval '1 day')")
    kept = set(Refusal.objects.filter(key_id=key.pk).values_list("model", flat=True))
    assert kept == {str(n) for n in range(2, 1002)}
    assert Refusal.objects.filter(key_id=quiet.pk).count() == 1
    assert RefusalCount.objects.filter(key_id=key.pk).aggregate(Sum("refusals"))["refusals__sum"] == 1102

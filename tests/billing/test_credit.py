"""Prepaid credit: a payment is credited once, requests are paid from it to the nano-euro, and it ends by its rule."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.db import connections
from django.utils import timezone

from billing.credit.account import Account, account_of, credit_used, lots_of, movements_of, top_ups_paid
from billing.credit.budget import credit_budgets
from billing.credit.moves import Payment, correct_credit, end_of_lot, expire_lots, record_payment
from billing.models import CreditRule, LedgerEntry
from billing.usage.statement import month_of
from identity.errors import Conflict, Forbidden, Invalid
from identity.models import AuditEvent, Notice, OperatorRole, Tenant
from identity.operators import operator_for_person
from tests.support.credit import EUR, make_postpaid, make_prepaid, make_prepaid_house, pay
from tests.support.ledger import A_CHAT, House, LedgerGateway, ledger_gateway, make_house
from tests.support.operators import RUNS
from tests.support.people import make_operator

A_CHAT_COSTS = 45_000
TODAY = date(2026, 11, 20)


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


@pytest.fixture
def house(database: None) -> House:
    return make_prepaid_house(EUR)


def account(tenant: Tenant) -> Account:
    found = account_of(tenant)
    assert found is not None
    return found


def assert_adds_up(tenant: Tenant) -> None:
    """What `verify_ledger` asks of each tenant."""
    told, limits = account(tenant), credit_budgets(tenant.pk).values_list("limit_nano_eur", flat=True)
    assert sum(limits) == told.credited_nano_eur - told.ending_nano_eur
    assert told.spent_nano_eur + told.held_nano_eur <= told.credited_nano_eur


def end_lots(tenant: Tenant, ago: timedelta = timedelta()) -> None:
    """Let the time of all lots of the tenant be over since `ago`: only the owner of the tables can."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute("alter table billing_credit_entry disable trigger refuse_change")
        query = "update billing_credit_entry set expires_at = clock_timestamp() - %s where tenant_id = %s"
        owner.execute(query + " and lot_id is null", [ago, tenant.pk])
        owner.execute("alter table billing_credit_entry enable trigger refuse_change")


def test_a_payment_becomes_credit_and_is_told(house: House) -> None:
    assert account(house.tenant) == Account(True, EUR, 0, 0, 0)
    [movement] = movements_of(house.tenant)
    assert (movement.kind, movement.amount_nano_eur, movement.received_on) == ("top_up", EUR, TODAY)
    assert Notice.objects.filter(tenant=house.tenant, kind="credit.recorded").count() == 1
    chains = AuditEvent.objects.filter(action="credit.recorded", target=str(movement.id))
    assert {event.tenant_id for event in chains} == {house.tenant.pk, None}
    assert_adds_up(house.tenant)


def test_without_credit_a_prepaid_contract_admits_nothing(gateway: LedgerGateway) -> None:
    house = make_house()
    make_prepaid(house)
    refused = gateway.admit(house, house.key().row)
    assert refused.verdict == "budget"
    assert refused.detail is not None
    assert (refused.detail["source"], refused.detail["limit_nano_eur"]) == ("credit", 0)
    pay(house.tenant, EUR)
    assert gateway.admit(house, house.key().row).verdict == "admitted"


def test_requests_are_paid_from_the_credit_until_it_cannot_hold_another(gateway: LedgerGateway, house: House) -> None:
    key = house.key().row
    gateway.complete(house, key)
    correct_credit(by=RUNS, tenant=house.tenant, amount_nano_eur=A_CHAT_COSTS - EUR, reason="x", idempotency_key="1")
    told = account(house.tenant)
    assert (told.spent_nano_eur, told.free_nano_eur) == (A_CHAT_COSTS, 0)
    assert gateway.admit(house, key).verdict == "budget"
    assert_adds_up(house.tenant)


def test_a_payment_that_is_recorded_twice_is_credited_once(house: House) -> None:
    payment = Payment(5 * EUR, TODAY, "bank-17", "RF18")
    first = record_payment(by=RUNS, tenant=house.tenant, payment=payment)
    again = record_payment(by=RUNS, tenant=house.tenant, payment=payment)
    assert (again.entry_id, first.is_new, again.is_new) == (first.entry_id, True, False)
    for other in (replace(payment, amount_nano_eur=6 * EUR), replace(payment, reference="RF19")):
        with pytest.raises(Conflict, match="another payment"):
            record_payment(by=RUNS, tenant=house.tenant, payment=other)
    assert account(house.tenant).credited_nano_eur == 6 * EUR


def test_a_payment_that_is_still_to_come_is_no_credit(house: House) -> None:
    with pytest.raises(Invalid, match="received_on: must not be in the future"):
        record_payment(by=RUNS, tenant=house.tenant, payment=Payment(EUR, date(2999, 1, 1), "bank-19"))
    assert account(house.tenant).credited_nano_eur == EUR


def test_the_same_payment_from_two_connections_at_once_is_credited_once(house: House) -> None:
    payment, told = Payment(5 * EUR, TODAY, "bank-18", "RF18"), []
    start = threading.Barrier(4)

    def record() -> None:
        start.wait()
        told.append(record_payment(by=RUNS, tenant=house.tenant, payment=payment))
        connections.close_all()

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.is_new for one in told) == [False, False, False, True]
    assert len({one.entry_id for one in told}) == 1
    assert account(house.tenant).credited_nano_eur == 6 * EUR
    assert_adds_up(house.tenant)


def test_who_may_not_correct_the_ledger_records_nothing(house: House) -> None:
    platform = operator_for_person(make_operator(OperatorRole.PLATFORM))
    with pytest.raises(Forbidden):
        record_payment(by=platform, tenant=house.tenant, payment=Payment(EUR, TODAY, "1"))
    with pytest.raises(Forbidden):
        correct_credit(by=platform, tenant=house.tenant, amount_nano_eur=EUR, reason="x", idempotency_key="2")


@pytest.mark.parametrize("amount", [0, -1, 10**18 + 1])
def test_an_amount_that_is_none_is_not_recorded(house: House, amount: int) -> None:
    with pytest.raises(Invalid, match="amount_nano_eur"):
        record_payment(by=RUNS, tenant=house.tenant, payment=Payment(amount, TODAY, "1"))


def test_no_more_is_taken_back_than_is_neither_spent_nor_reserved(gateway: LedgerGateway, house: House) -> None:
    held = gateway.admit(house, house.key().row)
    free = account(house.tenant).free_nano_eur
    assert free < EUR
    with pytest.raises(Conflict, match="neither spent nor reserved"):
        correct_credit(by=RUNS, tenant=house.tenant, amount_nano_eur=-free - 1, reason="x", idempotency_key="1")
    correct_credit(by=RUNS, tenant=house.tenant, amount_nano_eur=-free, reason="Paid back", idempotency_key="1")
    again = correct_credit(by=RUNS, tenant=house.tenant, amount_nano_eur=-free, reason="Paid back", idempotency_key="1")
    assert not again.is_new
    gateway.settle(house, held.request_id, A_CHAT)  # what is under way ends as it would
    assert account(house.tenant).spent_nano_eur == A_CHAT_COSTS
    assert_adds_up(house.tenant)


def test_a_rule_says_when_credit_ends_by_the_tenants_calendar(house: House) -> None:
    assert end_of_lot(house.tenant) is None
    contract = house.tenant.contracts.get(ends_at=None)
    CreditRule.objects.create(tier=contract.tier, months=12)
    ends = end_of_lot(house.tenant)
    assert ends is not None
    zone = ZoneInfo(house.tenant.time_zone)
    local, today = ends.astimezone(zone), timezone.now().astimezone(zone).date()
    assert (local.hour, local.minute) == (0, 0)
    assert timedelta(days=365) <= local.date() - today <= timedelta(days=367)
    pay(house.tenant, EUR)
    assert lots_of(house.tenant)[0].expires_at == ends


def test_the_oldest_lot_is_used_first_and_only_what_is_left_of_it_expires(gateway: LedgerGateway, house: House) -> None:
    gateway.complete(house, house.key().row)
    end_lots(house.tenant)
    pay(house.tenant, 2 * EUR)
    assert expire_lots() == 1
    younger, older = lots_of(house.tenant)
    assert (older.left_nano_eur, older.used_nano_eur, older.expired_nano_eur) == (0, A_CHAT_COSTS, EUR - A_CHAT_COSTS)
    assert younger.left_nano_eur == account(house.tenant).free_nano_eur == 2 * EUR
    assert expire_lots() == 0
    assert Notice.objects.filter(tenant=house.tenant, kind="credit.expired").count() == 1
    assert_adds_up(house.tenant)


def test_what_a_running_request_holds_of_a_lot_expires_when_it_has_ended(gateway: LedgerGateway, house: House) -> None:
    key = house.key().row
    running = gateway.admit(house, key)
    held = account(house.tenant).held_nano_eur
    end_lots(house.tenant)
    expire_lots()
    told = account(house.tenant)
    assert (told.credited_nano_eur, told.ending_nano_eur, told.free_nano_eur) == (held, held, 0)
    assert_adds_up(house.tenant)
    assert gateway.admit(house, key).verdict == "budget"
    gateway.settle(house, running.request_id, A_CHAT)
    assert gateway.admit(house, key).verdict == "budget"  # what it gave back is past its time
    expire_lots()
    told = account(house.tenant)
    assert (told.credited_nano_eur, told.spent_nano_eur, told.ending_nano_eur) == (A_CHAT_COSTS, A_CHAT_COSTS, 0)
    entries = LedgerEntry.objects.filter(tenant_id=house.tenant.pk, kind="expiry")
    assert sum(entry.amount_nano_eur for entry in entries) == A_CHAT_COSTS - EUR
    assert_adds_up(house.tenant)


def test_a_request_that_uses_all_that_it_held_leaves_nothing_to_expire(gateway: LedgerGateway, house: House) -> None:
    running = gateway.admit(house, house.key().row, input_tokens=20, output_tokens=50)
    end_lots(house.tenant)
    expire_lots()
    held = account(house.tenant).ending_nano_eur
    charged = gateway.settle(house, running.request_id, A_CHAT._replace(output=60))
    expire_lots()
    told = account(house.tenant)
    assert (told.ending_nano_eur, told.credited_nano_eur) == (0, told.spent_nano_eur)
    assert charged <= held
    assert_adds_up(house.tenant)


def test_credit_rests_while_the_contract_is_billed_afterwards(gateway: LedgerGateway, house: House) -> None:
    key = house.key().row
    gateway.complete(house, key)
    running = gateway.admit(house, key)
    make_postpaid(house)
    assert not account(house.tenant).is_in_use
    gateway.complete(house, key)
    assert account(house.tenant).spent_nano_eur == A_CHAT_COSTS
    pay(house.tenant, EUR)
    assert_adds_up(house.tenant)
    make_prepaid(house)
    assert_adds_up(house.tenant)
    gateway.settle(house, running.request_id, A_CHAT)  # admitted before, paid from the credit
    gateway.complete(house, key)
    told = account(house.tenant)
    assert (told.is_in_use, told.spent_nano_eur, told.credited_nano_eur) == (True, 3 * A_CHAT_COSTS, 2 * EUR)
    assert_adds_up(house.tenant)
    assert credit_used(house.tenant, *month_of(house.tenant, timezone.localdate())) == 3 * A_CHAT_COSTS


def test_what_a_month_used_and_took_in_is_said(gateway: LedgerGateway, house: House) -> None:
    gateway.complete(house, house.key().row)
    this_month = timezone.now().astimezone(ZoneInfo(house.tenant.time_zone)).date()
    before = this_month.replace(day=1) - timedelta(days=1)
    used = [credit_used(house.tenant, *month_of(house.tenant, day)) for day in (this_month, before)]
    assert used == [A_CHAT_COSTS, 0]
    [top_up] = top_ups_paid(house.tenant, this_month)
    assert (top_up.amount_nano_eur, top_up.received_on, top_ups_paid(house.tenant, before)) == (EUR, TODAY, [])
    assert isinstance(top_up.paid_at, datetime)

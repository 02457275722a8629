"""Prepaid credit under fire: two gateways before one engine, the last cent, a killed gateway, a lot that ends."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from billing.checks.verification import verify
from billing.credit.account import Account, account_of
from billing.credit.budget import credit_budgets
from billing.credit.moves import correct_credit, expire_lots
from billing.models import Hold, LedgerEntry, UsageRecord
from tests.gateway.relay.bills import await_model, record_of
from tests.gateway.relay.crowd import Ask, many_files, rush
from tests.gateway.simulated_engine.process import EngineProcess, eventually, read_until
from tests.support.credit import EUR, make_prepaid_house, pay
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import HeldKey, House
from tests.support.operators import RUNS
from tests.support.outage import OwnPostgres
from tests.support.wire import request

LIMITS = "heartbeat_s=0.3,checkpoint_s=0.3,silent_s=2,grace_s=0.1,money_wait_s=0.01"
PROMPT, ANSWER = 20, 5
COST = PROMPT * 150 + ANSWER * 600  # nano-EUR: the hold and the charge
PACE = {"tokens_per_second": 20, "output_tokens": 400}


@dataclass
class Arena:
    """A house on credit, and two gateways."""

    house: House
    gateways: list[GatewayProcess]
    postgres: OwnPostgres

    def key(self) -> HeldKey:
        key = self.house.key()
        for gateway in self.gateways:
            gateway.await_key(key.text)
        return key

    def asks(self, key: HeldKey, count: int) -> list[Ask]:
        """So many requests, dealt out over the gateways; each costs exactly what is held for it."""
        body = b'{"model":"%b","prompt":[%b],"max_tokens":%d,"simulate":{"output_tokens":50}}' % (
            self.house.model.name.encode(),
            b",".join([b"7"] * PROMPT),
            ANSWER,
        )
        data = request("POST", "/v1/completions", body, f"authorization: Bearer {key.text}")
        return [Ask(self.gateways[number % len(self.gateways)].port, data) for number in range(count)]

    def account(self) -> Account:
        found = account_of(self.house.tenant)
        assert found is not None
        return found

    def leave(self, amount_nano_eur: int) -> None:
        """Let so much credit be free."""
        change = amount_nano_eur - self.account().free_nano_eur
        if change:
            key = f"{change} {LedgerEntry.objects.count()}"
            correct_credit(
                by=RUNS, tenant=self.house.tenant, amount_nano_eur=change, reason="A test", idempotency_key=key
            )

    def end_lots(self) -> None:
        """All lots of the house end now."""
        with psycopg.connect(self.postgres.environment["DATABASE_OWNER_URL"]) as owner:
            owner.execute("alter table billing_credit_entry disable trigger refuse_change")
            owner.execute("update billing_credit_entry set expires_at = clock_timestamp() where lot_id is null")
            owner.execute("alter table billing_credit_entry enable trigger refuse_change")


@pytest.fixture(scope="module")
def arena(
    own_postgres: OwnPostgres,
    relay_engine: EngineProcess,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Arena]:
    with django_db_blocker.unblock(), own_postgres.used_by_django(), ExitStack() as stack:
        house = make_prepaid_house(EUR)
        serve(house.model, relay_engine)
        gateways = [
            stack.enter_context(
                GatewayProcess(tmp_path_factory.mktemp(f"credit{number}"), LIMITS, **own_postgres.environment)
            )
            for number in range(2)
        ]
        for gateway in gateways:
            await_model(gateway, house)
        yield Arena(house, gateways, own_postgres)


def test_I3_of_fifty_requests_on_the_last_of_the_credit_exactly_those_that_it_covers_are_served(arena: Arena) -> None:
    key = arena.key()
    arena.leave(7 * COST + COST - 1)
    before = arena.account().spent_nano_eur
    with many_files():
        rushed = rush(arena.asks(key, 50), staying=0, then=lambda: None)
    served, refused = rushed.of(200), rushed.of(429)
    assert (len(served), len(refused)) == (7, 43)
    for one in refused:
        assert (one.error["code"], one.error["type"]) == ("insufficient_credit", "insufficient_quota")
        assert "/api/credit/orders" in one.error["message"]
    told = arena.account()
    assert (told.spent_nano_eur - before, told.held_nano_eur, told.free_nano_eur) == (7 * COST, 0, COST - 1)
    assert differences(arena) == []


def test_I3_a_payment_in_the_middle_of_a_race_lets_exactly_so_many_more_in(arena: Arena) -> None:
    key = arena.key()
    arena.leave(COST)
    done = threading.Event()

    def top_up() -> None:
        pay(arena.house.tenant, 5 * COST, "in the middle")
        done.set()

    with many_files():
        thread = threading.Timer(0.05, top_up)
        thread.start()
        first = rush(arena.asks(key, 50), staying=0, then=lambda: None)
        assert done.wait(20)
        thread.join()
        second = rush(arena.asks(key, 50), staying=0, then=lambda: None)
    assert len(first.of(200)) + len(second.of(200)) == 6
    assert arena.account().free_nano_eur == 0
    assert differences(arena) == []


def test_I2_what_a_killed_gateway_held_of_the_credit_is_charged_or_free_again(arena: Arena) -> None:
    key, (victim, survivor) = arena.key(), arena.gateways
    arena.leave(EUR)
    stream = victim.open_stream(arena.house.model.name, key.text, max_tokens=400, simulate=PACE)
    assert eventually(lambda: any((hold.checkpoint or {}).get("output", 0) >= 5 for hold in holds(key)), 8)
    [hold] = holds(key)
    victim.kill()
    stream.close()
    record = record_of(str(hold.request_id), 20)
    assert record.status == "gateway_lost"
    assert eventually(lambda: arena.account().held_nano_eur == 0, 5)
    assert arena.account().free_nano_eur == EUR - record.cost_nano_eur
    assert survivor.chat(arena.house.model.name, key.text, max_tokens=2).status == 200
    assert differences(arena) == []
    victim.start()
    victim.wait_until_ready()


def test_a_stream_that_runs_when_its_lot_ends_is_served_to_its_end_and_nobody_else_is(arena: Arena) -> None:
    key, (gateway, other) = arena.key(), arena.gateways
    arena.leave(EUR)
    pace = {"tokens_per_second": 20, "output_tokens": 40}
    stream = gateway.open_stream(arena.house.model.name, key.text, max_tokens=40, simulate=pace)
    read_until(stream, lambda received: b"data:" in received)
    arena.end_lots()
    assert expire_lots() >= 1
    told = arena.account()
    assert (told.free_nano_eur, told.ending_nano_eur) == (0, told.held_nano_eur)
    refused = other.chat(arena.house.model.name, key.text, max_tokens=2)
    assert (refused.status, refused.json["error"]["code"]) == (429, "insufficient_credit")
    assert b"[DONE]" in read_until(stream, lambda received: b"[DONE]" in received)
    stream.close()
    assert eventually(lambda: not holds(key), 5)
    record = UsageRecord.objects.get(key_id=key.row.pk)
    assert (record.status, record.output_quantity) == ("completed", 40)
    expire_lots()
    told = arena.account()
    assert (told.credited_nano_eur, told.ending_nano_eur) == (told.spent_nano_eur, 0)
    assert differences(arena) == []


def holds(key: HeldKey) -> list[Hold]:
    return list(Hold.objects.filter(key_id=key.row.pk))


def differences(arena: Arena) -> list[str]:
    """What does not add up of this house's credit; other tests use the same database."""
    of = f"tenant {arena.house.tenant.pk}"
    places = {of, *(f"budget {budget.pk}" for budget in credit_budgets(arena.house.tenant.pk))}
    return [str(one) for one in verify() if places & set(one.where.replace(" on ", ",").split(","))]

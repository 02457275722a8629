"""The ledger adds up, also while it is written; and each kind of lie is found, in the very row where it was told."""

import random
import threading
from dataclasses import replace

import psycopg
import pytest
from django.core.management import CommandError, call_command

from billing.checks.verification import verify
from billing.limits.budgets import remove_budget
from billing.models import Budget, UsageHour, UsageRecord
from billing.models import Scope as Holder
from billing.pricing import Prices, Quantities
from tests.billing.raw_ledger import RawLedger, request_of, settlement_of
from tests.billing.whole_ledger import PLENTY, Scene, found_after
from tests.support.credit import make_prepaid, pay
from tests.support.ledger import make_price
from tests.support.outage import OwnPostgres
from tests.support.people import TESTS


def test_what_was_served_adds_up(scene: Scene) -> None:
    scene.hold()
    scene.use(input=1, output=1)
    assert verify() == []


def test_it_rounds_as_the_price_list_does(scene: Scene) -> None:
    """Ties included: an odd or even number of nano-EUR and exactly a half."""
    prices = {"input": 500_000, "output": 1_500_000, "reasoning": 333_333, "images": 10**10}
    version = make_price(scene.house.price_version.rate_card, scene.house.model, prices)
    house = replace(scene.house, price_version=version, prices=Prices(version.pk, prices))
    dice = random.Random(7)
    requests = [request_of(house, scene.key.row, 10**9) for _ in range(300)]
    assert {verdict.verdict for verdict in scene.ledger.admit(*requests)} == {"admitted"}
    used = [Quantities(*(dice.randrange(9) for _ in range(4)))._replace(images=dice.randrange(20)) for _ in requests]
    scene.ledger.settle(
        *(settlement_of(house, row["request_id"], each) for row, each in zip(requests, used, strict=True))
    )
    assert verify() == []


def test_a_changed_cost_is_found_with_its_record_rollup_and_budgets(scene: Scene, postgres: OwnPostgres) -> None:
    cost = UsageRecord.objects.get(pk=scene.record).cost_nano_eur
    found = found_after(
        postgres,
        "alter table billing_usage_record drop constraint amounts_add_up",
        "update billing_usage_record set cost_nano_eur = cost_nano_eur - 1 where request_id = %(id)s",
        id=scene.record,
    )
    less, right = str(cost - 1), str(cost)
    assert ("cost and uncharged", right, f"{less} and 0") in found
    assert ("rollup's cost", less, right) in found
    assert found.count(("spent", less, right)) == 3


def test_amounts_that_add_up_but_are_not_the_prices_are_found(scene: Scene, postgres: OwnPostgres) -> None:
    record = UsageRecord.objects.get(pk=scene.record)
    found = found_after(
        postgres,
        """update billing_usage_record set input_nano_eur = input_nano_eur - 1, output_nano_eur = output_nano_eur + 1
           where request_id = %(id)s""",
        id=scene.record,
    )
    assert found == [
        ("input amount", str(record.input_nano_eur), str(record.input_nano_eur - 1)),
        ("output amount", str(record.output_nano_eur), str(record.output_nano_eur + 1)),
    ]


def test_a_changed_price_is_found_in_the_records_that_it_billed(scene: Scene, postgres: OwnPostgres) -> None:
    found = found_after(
        postgres,
        """update billing_meterprice set nano_eur_per_million = nano_eur_per_million + 1000000
           where version_id = %(version)s and meter = 'input'""",
        version=scene.house.price_version.pk,
    )
    assert {what for what, _, _ in found} == {"input amount", "cost and uncharged"}


def test_a_used_meter_without_a_price_is_found(scene: Scene, postgres: OwnPostgres) -> None:
    found = found_after(
        postgres, "delete from billing_meterprice where version_id = %(v)s", v=scene.house.price_version.pk
    )
    assert found == [("price", "a price for each meter used", "none for one of them")]


def test_audio_that_is_no_whole_minutes_is_found_where_the_price_counts_them(
    scene: Scene, postgres: OwnPostgres
) -> None:
    found = found_after(
        postgres,
        "update billing_priceversion set audio_by_started_minute = true where id = %(version)s",
        "update billing_usage_record set audio_ms_quantity = 60001 where request_id = %(id)s",
        version=scene.house.price_version.pk,
        id=scene.record,
    )
    assert ("audio", "whole minutes", "60001 ms") in found


def test_a_deleted_record_is_found(scene: Scene, postgres: OwnPostgres) -> None:
    cost = str(UsageRecord.objects.get(pk=scene.record).cost_nano_eur)
    found = found_after(postgres, "delete from billing_usage_record where request_id = %(id)s", id=scene.record)
    assert ("rollup's requests", "0", "1") in found
    assert found.count(("spent", "0", cost)) == 3


def test_a_record_that_is_there_twice_is_found(scene: Scene, postgres: OwnPostgres) -> None:
    found = found_after(
        postgres,
        "alter table billing_usage_record drop constraint billing_usage_record_pkey",
        "insert into billing_usage_record select * from billing_usage_record where request_id = %(id)s",
        id=scene.record,
    )
    assert ("record", "once", "2 times") in found
    assert ("rollup's requests", "2", "1") in found


def test_a_record_copied_under_another_id_is_found(scene: Scene, postgres: OwnPostgres) -> None:
    found = found_after(
        postgres,
        "create temporary table copy as select * from billing_usage_record where request_id = %(id)s",
        "update copy set request_id = overlay(request_id::text placing 'ffff' from 33)::uuid",
        "insert into billing_usage_record select * from copy",
        id=scene.record,
    )
    assert ("rollup's requests", "2", "1") in found


def test_a_record_in_the_default_partition_is_found(scene: Scene, postgres: OwnPostgres) -> None:
    found = found_after(
        postgres,
        "create temporary table copy as select * from billing_usage_record where request_id = %(id)s",
        "update copy set request_id = overlay(request_id::text placing '00' from 1)::uuid",
        "insert into billing_usage_record select * from copy",
        id=scene.record,
    )
    assert ("partition", "no record", "1 records") in found
    assert any(what == "time" for what, _, _ in found)


@pytest.mark.parametrize("column", ["requests", "failed_requests", "input_quantity", "cost_nano_eur"])
def test_a_wrong_rollup_is_found_and_only_that(scene: Scene, postgres: OwnPostgres, column: str) -> None:
    rollup = UsageHour.objects.get(key_id=scene.key.row.pk)
    right = getattr(rollup, column)
    statement = f"update billing_usage_hour set {column} = {column} + 1 where key_id = %(key)s"
    found = found_after(postgres, statement, key=scene.key.row.pk)
    assert found == [(f"rollup's {column.removesuffix('_nano_eur')}", str(right), str(right + 1))]


@pytest.mark.parametrize("column", ["requests", "reasoning_quantity", "cost_nano_eur", "uncharged_nano_eur"])
def test_a_wrong_sum_of_a_day_is_found_and_only_that(scene: Scene, postgres: OwnPostgres, column: str) -> None:
    statement = f"update billing_usage_day set {column} = {column} + 1 where project_id = %(project)s"
    found = found_after(postgres, statement, project=scene.house.project.pk)
    right = getattr(UsageHour.objects.get(key_id=scene.key.row.pk), column)
    assert found == [(f"day's {column.removesuffix('_nano_eur')}", str(right), str(right + 1))]


def test_a_missing_sum_of_a_day_is_found(scene: Scene, postgres: OwnPostgres) -> None:
    found = found_after(
        postgres, "delete from billing_usage_day where project_id = %(project)s", project=scene.house.project.pk
    )
    assert ("day's requests", "1", "0") in found


def test_a_rollup_of_nothing_and_a_missing_one_are_found(scene: Scene, postgres: OwnPostgres) -> None:
    elsewhere = "update billing_usage_hour set key_id = 0 where key_id = %(key)s"
    found = found_after(postgres, elsewhere, key=scene.key.row.pk)
    assert ("rollup's requests", "1", "0") in found
    assert ("rollup's requests", "0", "1") in found


@pytest.mark.parametrize("scope", ["tenant", "project", "key"])
def test_a_wrong_spent_is_found_and_only_that(scene: Scene, postgres: OwnPostgres, scope: str) -> None:
    cost = UsageRecord.objects.get(pk=scene.record).cost_nano_eur
    found = found_after(
        postgres,
        "update billing_budget_period set spent_nano_eur = spent_nano_eur - 1 where budget_id = %(budget)s",
        budget=scene.budgets[scope].pk,
    )
    assert found == [("spent", str(cost), str(cost - 1))]


def test_a_wrong_held_is_found_and_only_that(scene: Scene, postgres: OwnPostgres) -> None:
    scene.hold()
    found = found_after(
        postgres,
        "update billing_budget_period set held_nano_eur = held_nano_eur - 1 where budget_id = %(budget)s",
        budget=scene.budgets["project"].pk,
    )
    assert found == [("held", "1000000", "999999")]


def test_a_hold_that_vanished_is_found_in_each_of_its_budgets(scene: Scene, postgres: OwnPostgres) -> None:
    hold = scene.hold()
    found = found_after(postgres, "delete from billing_hold where request_id = %(id)s", id=hold)
    assert found == [("held", "0", "1000000")] * 3


def test_a_hold_of_a_settled_request_is_found(scene: Scene, postgres: OwnPostgres) -> None:
    hold = scene.hold()
    found = found_after(
        postgres, "update billing_hold set request_id = %(settled)s where request_id = %(id)s",
        id=hold, settled=scene.record,
    )  # fmt: skip
    assert found == [("hold", "none, it is settled", "one")]


def test_money_past_a_cap_is_found(scene: Scene, postgres: OwnPostgres) -> None:
    found = found_after(
        postgres,
        "alter table billing_budget_period drop constraint budget_never_overshoots",
        "update billing_budget_period set cap_nano_eur = 1 where budget_id = %(budget)s",
        budget=scene.budgets["key"].pk,
    )
    assert [(what, expected) for what, expected, _ in found] == [("spent and held", "at most 1")]


@pytest.mark.parametrize("status", ["engine_failed", "engine_refused", "client_left_early", "unmetered", "undelivered"])
def test_money_for_a_request_that_costs_nothing_is_found(scene: Scene, postgres: OwnPostgres, status: str) -> None:
    cost = UsageRecord.objects.get(pk=scene.record).cost_nano_eur
    found = found_after(
        postgres, "update billing_usage_record set status = %(status)s where request_id = %(id)s",
        id=scene.record, status=status,
    )  # fmt: skip
    assert found == [("cost", f"0, being {status}", str(cost))]


def test_ledger_entries_that_repeat_or_are_about_nothing_are_found(scene: Scene, postgres: OwnPostgres) -> None:
    enter = """insert into billing_ledger_entry (id, tenant_id, kind, amount_nano_eur, request_id, reason, actor,
        idempotency_key) values (gen_random_uuid(), %(tenant)s, 'refund', 5, {}, '', 'tests', {})"""
    found = found_after(
        postgres,
        "alter table billing_ledger_entry drop constraint ledger_entry_is_made_once",
        enter.format("%(id)s", "'one'"),
        enter.format("null", "'one'"),
        enter.format("gen_random_uuid()", "'two'"),
        tenant=scene.house.tenant.pk,
        id=scene.record,
    )
    assert [(what, found) for what, _, found in found] == [("ledger entry", "2 times"), ("ledger entry", "none")]


def test_a_busy_ledger_adds_up_at_every_instant(scene: Scene, postgres: OwnPostgres) -> None:
    stopped = threading.Event()

    def load() -> None:
        ledger = RawLedger.open(postgres.environment["DATABASE_GATEWAY_URL"])
        while not stopped.is_set():
            batch = [request_of(scene.house, scene.key.row) for _ in range(20)]
            ledger.admit(*batch)
            ledger.settle(*(settlement_of(scene.house, row["request_id"]) for row in batch))
        ledger.close()

    workers = [threading.Thread(target=load) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        before = UsageRecord.objects.count()
        assert [verify() for _ in range(5)] == [[]] * 5
        assert UsageRecord.objects.count() > before
    finally:
        stopped.set()
        for worker in workers:
            worker.join()


def test_a_budget_made_while_requests_come_is_not_blamed_for_those_before_it(scene: Scene) -> None:
    scene.house.budget(Holder.KEY, scene.key.row.pk, PLENTY, period="day")
    scene.use(output=5)
    assert verify() == []


def test_a_removed_budget_counts_up_to_its_end(scene: Scene, postgres: OwnPostgres) -> None:
    remove_budget(budget=scene.budgets["key"], actor=TESTS)
    assert Budget.objects.get(pk=scene.budgets["key"].pk).ended_at is not None
    scene.use(output=5)
    assert verify() == []
    found = found_after(
        postgres,
        "update billing_budget set created_at = now() - interval '2 hours', ended_at = now() - interval '1 hour'"
        " where id = %(budget)s",
        budget=scene.budgets["key"].pk,
    )
    cost = UsageRecord.objects.get(pk=scene.record).cost_nano_eur
    assert found == [("spent", "0", str(cost))]


@pytest.mark.parametrize(
    ("begins", "ends", "counts"),
    [("0 hours", "1 hour", True), ("-3 hours", "0 hours", False), ("1 hour", "3 hours", False),
     ("-90 minutes", "90 minutes", True), ("-30 minutes", "0 hours", False), ("1 hour", "90 minutes", False)],
)  # fmt: skip
def test_a_period_counts_from_its_first_hour_to_before_its_last(
    scene: Scene, postgres: OwnPostgres, begins: str, ends: str, counts: bool
) -> None:
    found = found_after(
        postgres,
        "update billing_budget set created_at = '2020-01-01' where id = %(budget)s",
        f"""update billing_budget_period set starts_at = hour + interval '{begins}', ends_at = hour + interval '{ends}'
            from billing_usage_hour h where h.key_id = %(key)s and budget_id = %(budget)s""",
        budget=scene.budgets["key"].pk,
        key=scene.key.row.pk,
    )
    cost = UsageRecord.objects.get(pk=scene.record).cost_nano_eur
    assert found == ([] if counts else [("spent", "0", str(cost))])


def test_the_command_tells_each_difference_and_fails(
    scene: Scene, postgres: OwnPostgres, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("verify_ledger")
    assert "The ledger adds up." in capsys.readouterr().out
    wrong = "update billing_budget_period set spent_nano_eur = spent_nano_eur {} 1 where budget_id = %s"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as superuser:
        superuser.execute(wrong.format("+").encode(), [scene.budgets["key"].pk])
        try:
            with pytest.raises(CommandError, match="1 differences"):
                call_command("verify_ledger")
        finally:
            superuser.execute(wrong.format("-").encode(), [scene.budgets["key"].pk])
    cost = UsageRecord.objects.get(pk=scene.record).cost_nano_eur
    assert f"on key {scene.key.row.pk}, period" in (told := capsys.readouterr().out)
    assert f"expected {cost}, found {cost + 1}" in told


@pytest.fixture
def on_credit(scene: Scene) -> Scene:
    """The scene's tenant with credit that it pays its requests from."""
    make_prepaid(scene.house)
    pay(scene.house.tenant, PLENTY)
    scene.use(input=10, output=10)
    assert verify() == []
    return scene


CREDIT = "tenant_id = %(tenant)s and source = 'credit'"


@pytest.mark.parametrize(
    ("lies", "what"),
    [
        ([f"update billing_budget set limit_nano_eur = limit_nano_eur + 1 where {CREDIT}"], "credit limit"),
        (
            ["update billing_ledger_entry set amount_nano_eur = 1 where kind = 'top_up' and tenant_id = %(tenant)s"],
            "credit spent and held",
        ),
        (["delete from billing_ledger_entry where kind = 'top_up' and tenant_id = %(tenant)s"], "credit entry"),
        (["delete from billing_credit_entry where tenant_id = %(tenant)s"], "credit entry"),
        (["insert into billing_credit_ending values (gen_random_uuid(), %(tenant)s, 5)"], "credit limit"),
    ],
)
def test_a_lie_about_credit_is_found(on_credit: Scene, postgres: OwnPostgres, lies: list[str], what: str) -> None:
    found = found_after(postgres, *lies, tenant=on_credit.house.tenant.pk)
    assert what in {name for name, _, _ in found}

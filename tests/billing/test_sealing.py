"""A closed month is sealed once; its seal tells on who changes it, and stands in for the rows once these are gone."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection
from pytest_django import DjangoDbBlocker

from billing.checks.sealing import Month, detach, seal, seals
from billing.checks.verification import verify
from billing.models import UsageRecord
from billing.usage.records import lowest_request_id
from console.supervisor.postgres import OWNER
from identity.errors import Conflict, Invalid
from identity.models import AuditEvent
from tests.billing.whole_ledger import Scene, found_after, served_tenant
from tests.support.outage import OwnPostgres
from tests.support.people import TESTS
from tests.support.servers import ROOT
from tests.support.service import service_said

_OPEN = """
    set local role beffroi_owner;
    create table {partition} partition of billing_usage_record for values from ('{first}') to ('{end}');
    select billing_make_append_only('{partition}', false);
    reset role;
"""
_MOVE = """
    set local session_replication_role = replica;
    create temporary table moved on commit drop as select * from billing_usage_record where tenant_id = {tenant};
    delete from billing_usage_record where tenant_id = {tenant};
    update moved set admitted_at = admitted_at - {shift}, settled_at = settled_at - {shift};
    update moved set request_id = overlay(replace(request_id::text, '-', '') placing
        lpad(to_hex((extract(epoch from admitted_at) * 1000)::bigint), 12, '0') from 1)::uuid;
    insert into billing_usage_record select * from moved;
    update billing_usage_hour set hour = hour - {shift} where tenant_id = {tenant};
    update billing_usage_day set day = day - {shift} where tenant_id = {tenant};
    update billing_budget set created_at = created_at - {shift} where tenant_id = {tenant};
    update billing_budget_period set starts_at = starts_at - {shift}, ends_at = ends_at - {shift}
        where budget_id in (select id from billing_budget where tenant_id = {tenant});
"""
_months_ago = itertools.count(20)  # past any retention, and each month only once

Backdate = Callable[..., Month]


@pytest.fixture
def owner(whole_ledger: OwnPostgres, django_db_blocker: DjangoDbBlocker) -> Iterator[OwnPostgres]:
    """The cluster, used by Django as the owner of the tables, as `seal_usage` does."""
    with django_db_blocker.unblock(), whole_ledger.used_by_django(OWNER):
        yield whole_ledger


@pytest.fixture
def past(owner: OwnPostgres) -> Iterator[Scene]:
    """A tenant that was served in a month long ago; see `month_of`."""
    with served_tenant(owner) as scene:
        backdate(owner, scene, next(_months_ago))
        yield scene


def backdate(postgres: OwnPostgres, scene: Scene, months: int) -> None:
    """Turn the clock back for all that the tenant did."""
    month = Month(month_of_now().later(-months).date())
    days = (datetime.now(UTC).date() - month.first_day).days - 14
    told = {"partition": month.partition, "tenant": scene.house.tenant.pk, "shift": f"interval '{days} days'"}
    told |= {"first": lowest_request_id(month.later(0)), "end": lowest_request_id(month.later(1))}
    with psycopg.connect(postgres.superuser_url) as superuser:
        superuser.execute((_OPEN + _MOVE).format(**told).encode())
    scene.record = UsageRecord.objects.get(tenant_id=scene.house.tenant.pk).pk


def month_of_now() -> Month:
    return Month(datetime.now(UTC).date().replace(day=1))


def month_of(scene: Scene) -> Month:
    """The month in which the scene's only record was made."""
    return Month(UsageRecord.objects.get(pk=scene.record).admitted_at.date().replace(day=1))


def test_I7_a_sealed_month_adds_up_and_the_audit_chain_has_its_digest(past: Scene) -> None:
    month = month_of(past)
    record = UsageRecord.objects.get(pk=past.record)
    sealed = seal(month, actor=TESTS)
    assert (sealed.requests, int(sealed.cost_nano_eur), int(sealed.uncharged_nano_eur)) == (1, record.cost_nano_eur, 0)
    event = AuditEvent.objects.get(action="usage.sealed", target=str(month))
    assert event.detail == {
        "requests": 1, "cost_nano_eur": record.cost_nano_eur, "uncharged_nano_eur": 0,
        "digest": bytes(sealed.digest).hex(),
    }  # fmt: skip
    assert verify() == []
    with pytest.raises(Conflict, match="sealed already"):
        seal(month, actor=TESTS)


def test_I7_only_the_owner_seals_and_nobody_changes_a_seal(past: Scene, owner: OwnPostgres) -> None:
    month = month_of(past)
    with owner.used_by_django(), pytest.raises(ProgrammingError, match="permission denied"):
        seal(month, actor=TESTS)
    seal(month, actor=TESTS)
    for url in ("DATABASE_URL", "DATABASE_GATEWAY_URL", "DATABASE_OWNER_URL"):
        with psycopg.connect(owner.environment[url], autocommit=True) as role:
            for table in ("billing_sealed_month", "billing_sealed_hour"):
                for change in (f"update {table} set requests = 0", f"delete from {table}", f"truncate {table}"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        role.execute(change.encode())


def test_a_month_that_is_not_over_or_is_still_served_is_not_sealed(past: Scene, owner: OwnPostgres) -> None:
    with pytest.raises(Conflict, match="not over yet"):
        seal(month_of_now(), actor=TESTS)
    with pytest.raises(Conflict, match="no records"):
        seal(Month.parse("2020-02"), actor=TESTS)
    with pytest.raises(Invalid, match="looks like 2026-10"):
        Month.parse("2026-13")
    month, hold = month_of(past), past.hold()
    with psycopg.connect(owner.superuser_url, autocommit=True) as superuser:
        superuser.execute(
            "update billing_hold set request_id = %s where request_id = %s", [lowest_request_id(month.later(0)), hold]
        )
        with pytest.raises(Conflict, match="still under way"):
            seal(month, actor=TESTS)
        superuser.execute(
            "update billing_hold set request_id = %s where request_id = %s", [hold, lowest_request_id(month.later(0))]
        )
    assert seal(month, actor=TESTS).requests == 1


@pytest.mark.parametrize(
    ("lie", "what"),
    [
        ("update billing_usage_record set finish_reason = 'x' where request_id = %(id)s", ["sealed digest"]),
        ("update billing_usage_record set settled_at = settled_at + interval '1 microsecond' where request_id = %(id)s",
         ["sealed digest"]),
        ("update billing_sealed_hour set digest = sha256('x') where month = %(month)s",
         ["sealed digest", "sealed digest"]),
        ("update billing_sealed_hour set output_quantity = 1 where month = %(month)s",
         ["sealed output_quantity", "sealed digest"]),
        ("update billing_sealed_month set cost_nano_eur = 1 where month = %(month)s", ["sealed cost"]),
        ("update billing_sealed_month set digest = sha256('x') where month = %(month)s",
         ["sealed digest", "sealed digest"]),
        ("""update identity_auditevent set detail = jsonb_set(detail, '{digest}', '"x"')
            where action = 'usage.sealed' and target = to_char(%(month)s::date, 'YYYY-MM')""", ["sealed digest"]),
    ],
)  # fmt: skip
def test_whoever_changes_rows_or_seal_is_found(past: Scene, owner: OwnPostgres, lie: str, what: list[str]) -> None:
    month = month_of(past)
    seal(month, actor=TESTS)
    found = found_after(owner, lie, id=past.record, month=month.first_day)
    assert [each for each, _, _ in found] == what


def test_a_record_added_to_a_sealed_month_is_found(past: Scene, owner: OwnPostgres) -> None:
    seal(month_of(past), actor=TESTS)
    found = found_after(
        owner,
        "create temporary table copy as select * from billing_usage_record where request_id = %(id)s",
        "update copy set request_id = overlay(request_id::text placing 'ffff' from 33)::uuid",
        "insert into billing_usage_record select * from copy",
        id=past.record,
    )
    assert ("sealed requests", "1", "2") in found


def test_I7_records_are_kept_for_their_retention_and_detached_as_they_were_sealed(
    past: Scene, owner: OwnPostgres
) -> None:
    month = month_of(past)
    with pytest.raises(Conflict, match="not sealed"):
        detach(month, actor=TESTS)
    seal(month, actor=TESTS)
    change = "update billing_usage_record set label = %s where request_id = %s"
    with psycopg.connect(owner.superuser_url, autocommit=True) as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute(change, ["x", past.record])
        with pytest.raises(Conflict, match="not what was sealed"):
            detach(month, actor=TESTS)
        superuser.execute(change, ["", past.record])
    detach(month, actor=TESTS)
    assert not UsageRecord.objects.filter(pk=past.record).exists()
    with connection.cursor() as cursor:
        cursor.execute(f"select count(*) from {month.partition}")
        assert cursor.fetchone() == (1,)
    assert AuditEvent.objects.filter(action="usage.detached", target=str(month)).count() == 1


def test_records_of_a_month_that_is_not_old_enough_stay(owner: OwnPostgres) -> None:
    with served_tenant(owner) as scene:
        backdate(owner, scene, 13)
        month = month_of(scene)
        seal(month, actor=TESTS)
        with pytest.raises(Conflict, match="are kept until"):
            detach(month, actor=TESTS)


def test_records_stay_for_as_long_as_the_operator_says(past: Scene) -> None:
    month = month_of(past)
    seal(month, actor=TESTS)
    with service_said(usage_months=120), pytest.raises(Conflict, match="are kept until"):
        detach(month, actor=TESTS)
    assert month not in seals().detached
    with service_said(usage_months=13):
        detach(month, actor=TESTS)
    assert month in seals().detached


def test_sealed_totals_stand_in_for_detached_records(past: Scene, owner: OwnPostgres) -> None:
    month, cost = month_of(past), UsageRecord.objects.get(pk=past.record).cost_nano_eur
    seal(month, actor=TESTS)
    detach(month, actor=TESTS)
    assert verify() == []
    told = {"key": past.key.row.pk, "month": month.first_day, "budget": past.budgets["key"].pk}
    rollup = "update billing_usage_hour set requests = 2 where key_id = %(key)s"
    assert found_after(owner, rollup, **told) == [("rollup's requests", "1", "2")]
    sealed = "update billing_sealed_hour set cost_nano_eur = cost_nano_eur + 1 where month = %(month)s"
    found = found_after(owner, sealed, **told)
    assert ("sealed cost", str(cost + 1), str(cost)) in found
    assert ("rollup's cost", str(cost + 1), str(cost)) in found
    spent = "update billing_budget_period set spent_nano_eur = spent_nano_eur + 1 where budget_id = %(budget)s"
    # The budget was made in that very hour: of its cost the seal tells no more than the whole.
    assert found_after(owner, spent, **told) == [("spent", f"0 to {cost}", str(cost + 1))]
    whole = "update billing_budget set created_at = created_at - interval '60 days' where id = %(budget)s"
    assert found_after(owner, whole, spent, **told) == [("spent", str(cost), str(cost + 1))]


def test_the_command_seals_as_the_owner_and_says_why_it_does_not(past: Scene, owner: OwnPostgres) -> None:
    month = str(month_of(past))
    command = [sys.executable, str(ROOT / "manage.py"), "seal_usage", month]
    done = subprocess.run(command, env=os.environ | owner.environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"{month}: 1 requests sealed, "), done.stderr
    with pytest.raises(CommandError, match="sealed already"):
        call_command("seal_usage", month)
    call_command("seal_usage", month, "--detach")
    assert not UsageRecord.objects.filter(pk=past.record).exists()

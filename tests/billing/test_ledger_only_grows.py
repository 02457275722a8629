"""I7: the ledger only grows, for every role; a gateway may call functions and read what it needs, no more."""

import itertools
import os
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from billing.models import LedgerEntry, UsageRecord
from gateway.relay.ids import new_request_id
from tests.billing.raw_ledger import RawLedger, request_of, settlement_of
from tests.support.ledger import House, make_house

ROLES = ("DATABASE_URL", "DATABASE_GATEWAY_URL", "DATABASE_OWNER_URL")
Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest, database: None) -> Any:
    """A connection as each of the three roles."""
    with psycopg.connect(os.environ[request.param], autocommit=True) as role:
        yield role


@pytest.fixture
def house(database: None) -> House:
    return make_house()


@pytest.fixture
def record_id(house: House, ledger: RawLedger) -> str:
    request = request_of(house, house.key().row)
    ledger.admit(request)
    ledger.settle(settlement_of(house, request["request_id"]))
    return str(request["request_id"])


@pytest.fixture
def entry_id(house: House) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "select enter_v1(%s, %s, 'fee', 5, null, 'a reason', 'tests', 'once')",
            [uuid.uuid4(), house.tenant.pk],
        )
        return str(cursor.fetchone()[0])


def test_I7_no_role_changes_a_usage_record(role: Connection, record_id: str) -> None:
    partition = f"billing_usage_record_{datetime.now(UTC):%Y_%m}"
    for table in ("billing_usage_record", partition):
        for statement in ("update {} set cost_nano_eur = 0", "delete from {}"):
            query = sql.SQL(statement + " where request_id = %s").format(sql.Identifier(table))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                role.execute(query, [record_id])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            role.execute(sql.SQL("truncate {}").format(sql.Identifier(table)))
    assert UsageRecord.objects.filter(request_id=record_id, cost_nano_eur__gt=0).exists()


def test_I7_no_role_changes_a_ledger_entry(role: Connection, entry_id: str) -> None:
    for statement in (
        f"update billing_ledger_entry set amount_nano_eur = 6 where id = '{entry_id}'",
        f"delete from billing_ledger_entry where id = '{entry_id}'",
        "truncate billing_ledger_entry",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            role.execute(sql.SQL(statement))
    assert LedgerEntry.objects.get(pk=entry_id).amount_nano_eur == 5


@pytest.mark.parametrize("table", ["billing_priceversion", "billing_meterprice"])
def test_I4_no_role_changes_a_price(role: Connection, house: House, table: str) -> None:
    name = sql.Identifier(table)
    column = sql.SQL("id" if table == "billing_priceversion" else "version_id")
    version = house.price_version.pk
    for statement in ("update {} set id = id where {} = %s", "delete from {} where {} = %s"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            role.execute(sql.SQL(statement).format(name, column), [version])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        role.execute(sql.SQL("truncate {} cascade").format(name))


@pytest.mark.parametrize("url", ["DATABASE_URL", "DATABASE_GATEWAY_URL"])
def test_I7_nobody_but_the_ledgers_functions_writes_its_tables(url: str, record_id: str, entry_id: str) -> None:
    tables = (
        "billing_usage_record",
        "billing_usage_record_other",
        "billing_ledger_entry",
        "billing_refunded_period",
        "billing_withdrawn_price",
        "billing_budget_period",
        "billing_hold",
        "billing_limit_window",
        "billing_incarnation",
        "billing_usage_hour",
        "billing_usage_day",
        "billing_usage_label",
        "billing_refusal",
        "billing_refusal_count",
        "billing_idempotency_key",
    )
    with psycopg.connect(os.environ[url], autocommit=True) as role:
        for table in tables:
            name = sql.Identifier(table)
            for statement in ("insert into {} default values", "delete from {}", "truncate {}"):
                query = sql.SQL(statement).format(name)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    role.execute(query)


def test_I7_a_gateway_reads_no_bill_and_moves_no_money_but_by_inference(gateway_database_url: str) -> None:
    with psycopg.connect(gateway_database_url, autocommit=True) as gateway:
        readable = {
            row[0]
            for row in gateway.execute(
                "select relname::text from pg_class where relkind in ('r', 'p', 'v')"
                " and relnamespace = 'public'::regnamespace and has_table_privilege(oid, 'select')"
            )
        }
        writable = gateway.execute(
            "select count(*) from pg_class where relkind in ('r', 'p', 'v', 'S')"
            " and relnamespace = 'public'::regnamespace and (relkind = 'S' and has_sequence_privilege(oid, 'usage')"
            " or relkind <> 'S'"
            " and has_table_privilege(oid, 'insert, update, delete, truncate, references, trigger'))"
        ).fetchone()
        callable_ = {
            row[0]
            for row in gateway.execute(
                "select proname::text from pg_proc where pronamespace = 'public'::regnamespace"
                " and has_function_privilege(oid, 'execute')"
                " and not exists (select from pg_depend d where d.objid = pg_proc.oid and d.deptype = 'e')"
            )
        }
    assert writable == (0,)
    assert readable == {
        "billing_budget",
        "billing_contract",
        "billing_hold",
        "billing_incarnation",
        "billing_limit",
        "billing_meterprice",
        "billing_priceversion",
        "billing_ratecard",
        "identity_apikey",
        "identity_project",
        "identity_tenant",
        "models_catalog_languagemodel",
        "models_catalog_modelalias",
        "pools_pool",
        "pools_replica",
    }
    assert callable_ == {
        "admit_v1",
        "settle_v1",
        "checkpoint_v1",
        "begin_incarnation_v1",
        "heartbeat_v1",
        "end_incarnation_v1",
        "fence_silent_v1",
        "orphaned_holds_v1",
        "refuse_v1",
        "tidy_v1",
        "give_back_v1",
        "touch_keys_v1",
        "turn_contract_v1",
        "end_raise_v1",
        "note_demand_v1",
    }


def test_I7_partitions_lie_two_years_ahead_and_are_prolonged(owner_database_url: str) -> None:
    with psycopg.connect(owner_database_url) as owner:
        months = {
            row[0]
            for row in owner.execute(
                "select inhrelid::regclass::text from pg_inherits where inhparent = 'billing_usage_record'::regclass"
            )
        }
        now = datetime.now(UTC)
        wanted = [(now.year + (now.month - 1 + n) // 12, (now.month - 1 + n) % 12 + 1) for n in range(25)]
        assert {f"billing_usage_record_{year}_{month:02}" for year, month in wanted} <= months
        made = owner.execute("select billing_prolong_usage_record_v1(26)").fetchone()
        assert made == (2,)
        year, month = now.year + (now.month + 25) // 12, (now.month + 25) % 12 + 1
        name = sql.Identifier(f"billing_usage_record_{year}_{month:02}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute(sql.SQL("truncate {}").format(name))
        owner.rollback()


def test_I7_an_id_of_any_month_ahead_finds_its_partition(owner_database_url: str) -> None:
    """As made by the gateway: 48 bits of milliseconds. Nothing is ever in the default partition."""
    with psycopg.connect(owner_database_url) as owner:
        bounds = owner.execute(
            """select pg_get_expr(c.relpartbound, c.oid), c.relname::text from pg_class c
            join pg_inherits i on i.inhrelid = c.oid where i.inhparent = 'billing_usage_record'::regclass order by 2"""
        ).fetchall()
    ranges = [(bound.split("'")[1], bound.split("'")[3], name) for bound, name in bounds if "DEFAULT" not in bound]
    for (_, end, _), (start, _, _) in itertools.pairwise(ranges):
        assert end == start
    now = str(new_request_id())
    [home] = [name for start, end, name in ranges if start <= now < end]
    assert home == f"billing_usage_record_{time.strftime('%Y_%m', time.gmtime())}"
    # Tests that write a history of before the first partition write it there.
    strays = "select count(*) from billing_usage_record_other where request_id >= %s"
    with psycopg.connect(owner_database_url) as owner:
        assert owner.execute(strays, [ranges[0][0]]).fetchone() == (0,)

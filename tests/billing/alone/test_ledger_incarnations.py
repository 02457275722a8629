"""I2: a gateway that falls silent is fenced, and what it held is handed to a sweeper."""

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from billing.models import Hold, Incarnation
from billing.models import Scope as Holder
from billing.pricing import Quantities
from tests.billing.raw_ledger import RawLedger, request_of, settlement_of, standing_of
from tests.support.ledger import House, make_house


@pytest.fixture
def house(database: None) -> House:
    return make_house()


@pytest.fixture
def lost(house: House, gateway_database_url: str, owner_database_url: str) -> Any:
    """An incarnation that has been silent for a minute and whose request is under way."""
    lost = RawLedger.open(gateway_database_url)
    request = request_of(house, house.key().row)
    lost.admit(request)
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute(
            "update billing_incarnation set heartbeat_at = now() - interval '1 minute' where id = %s",
            [lost.incarnation],
        )
    yield lost, request["request_id"]
    lost.connection.close()


def fence(ledger: RawLedger, silence: str = "30 s", grace: str = "0 s") -> int:
    row = ledger.connection.execute("select fence_silent_v1(%s::interval, %s::interval)", [silence, grace]).fetchone()
    assert row is not None
    return int(row[0])


def orphans(ledger: RawLedger) -> set[str]:
    rows = ledger.connection.execute("select request_id from orphaned_holds_v1(1000)").fetchall()
    return {str(row[0]) for row in rows}


def test_I2_d_a_silent_incarnation_is_fenced_and_its_holds_are_orphans(ledger: RawLedger, lost: Any) -> None:
    silent, request_id = lost
    assert request_id not in orphans(ledger)
    assert fence(ledger) >= 1
    assert request_id in orphans(ledger)
    assert Incarnation.objects.get(pk=silent.incarnation).fenced_at is not None
    assert Incarnation.objects.get(pk=ledger.incarnation).fenced_at is None


def test_I2_d_a_fenced_incarnation_is_refused_whatever_it_calls(house: House, ledger: RawLedger, lost: Any) -> None:
    silent, request_id = lost
    fence(ledger)
    calls: list[Callable[[], object]] = [
        lambda: silent.admit(request_of(house, house.key().row)),
        lambda: silent.settle(settlement_of(house, request_id)),
        lambda: silent.connection.execute("select heartbeat_v1(%s)", [silent.incarnation]),
        lambda: silent.connection.execute("select checkpoint_v1(%s, '{}')", [silent.incarnation]),
    ]
    for call in calls:
        with pytest.raises(psycopg.Error, match="is fenced") as refused:
            call()
        assert refused.value.sqlstate == "BF001"
    assert Hold.objects.filter(request_id=request_id).exists()
    assert ledger.settle(settlement_of(house, request_id))[request_id][0] == "settled"


def test_none_is_fenced_just_after_postgresql_started(ledger: RawLedger, lost: Any) -> None:
    assert fence(ledger, grace="1 year") == 0


def test_a_heartbeat_keeps_it_alive(ledger: RawLedger, lost: Any) -> None:
    silent, request_id = lost
    silent.connection.execute("select heartbeat_v1(%s)", [silent.incarnation])
    fence(ledger)
    assert request_id not in orphans(ledger)


def test_a_checkpoint_reaches_only_ones_own_holds(house: House, ledger: RawLedger, lost: Any) -> None:
    _, foreign = lost
    request = request_of(house, house.key().row)
    ledger.admit(request)
    told = json.dumps({request["request_id"]: {"output": 7}, foreign: {"output": 8}})
    row = ledger.connection.execute("select checkpoint_v1(%s, %s::jsonb)", [ledger.incarnation, told]).fetchone()
    assert row == (1,)
    assert Hold.objects.get(request_id=request["request_id"]).checkpoint == {"output": 7}
    assert Hold.objects.get(request_id=foreign).checkpoint is None


def test_I2_d_fencing_waits_for_a_call_that_began_before_it(
    house: House, ledger: RawLedger, lost: Any, gateway_database_url: str
) -> None:
    """Else the sweeper and the late call could both settle."""
    silent, request_id = lost
    silent.connection.autocommit = False
    silent.settle(settlement_of(house, request_id, Quantities(1)))
    fenced = threading.Thread(target=fence, args=(ledger,))
    fenced.start()
    fenced.join(0.3)
    assert fenced.is_alive()
    silent.connection.commit()
    fenced.join(10)
    assert not fenced.is_alive()
    assert request_id not in orphans(ledger)


def test_two_sweepers_that_settle_one_hold_charge_once(
    house: House, ledger: RawLedger, gateway_database_url: str
) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 10**9)
    other = RawLedger.open(gateway_database_url)
    for _ in range(10):
        request = request_of(house, key)
        ledger.admit(request)
        verdicts: list[str] = []

        def settle(by: RawLedger, request_id: str = str(request["request_id"]), verdicts: list[str] = verdicts) -> None:
            verdicts.append(by.settle(settlement_of(house, request_id))[request_id][0])

        sweepers = [threading.Thread(target=settle, args=(by,)) for by in (ledger, other)]
        for sweeper in sweepers:
            sweeper.start()
        for sweeper in sweepers:
            sweeper.join(10)
        assert sorted(verdicts) == ["exists", "settled"]
    assert standing_of(budget.pk) == (10 * 42_000, 0)
    other.close()


def test_fenced_incarnations_are_forgotten_only_when_nothing_is_theirs(ledger: RawLedger, lost: Any) -> None:
    silent, request_id = lost
    fence(ledger)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(
            "update billing_incarnation set fenced_at = now() - interval '2 days' where id = %s", [silent.incarnation]
        )
    ledger.connection.execute("select tidy_v1(1000, interval '1 day')")
    assert Incarnation.objects.filter(pk=silent.incarnation).exists()
    assert request_id in orphans(ledger)


def test_the_partition_maker_gives_up_behind_a_long_reader(ledger: RawLedger, owner_database_url: str) -> None:
    """A charge that comes meanwhile must not wait behind it for ever."""
    with psycopg.connect(owner_database_url) as reader, psycopg.connect(owner_database_url) as maker:
        reader.execute("select count(*) from billing_usage_record")
        began = time.monotonic()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            maker.execute("select billing_prolong_usage_record_v1(30)")
        assert time.monotonic() - began < 5

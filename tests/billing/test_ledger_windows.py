"""Limits of a window where many ask at the moment in which it turns."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from billing.models import Hold, LimitWindow
from billing.models import Scope as Holder
from tests.billing.raw_ledger import RawLedger, request_of, used_of
from tests.support.ledger import House, make_house


@pytest.fixture
def house(database: None) -> House:
    return make_house()


def turn(owner_database_url: str, limit_id: int) -> None:
    """What the first admission of the next minute does."""
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute(
            "update billing_limit_window set used = 0, starts_at = clock_timestamp(),"
            " ends_at = clock_timestamp() + interval '1 minute' where limit_id = %s",
            [limit_id],
        )


def test_who_asked_before_a_window_began_is_not_counted_in_it(
    house: House, ledger: RawLedger, owner_database_url: str
) -> None:
    """It waited for the window's row while another call turned it: admitted now, it would lie in the window before,
    which was full. Asked again it belongs to the new one.
    """
    key = house.key().row
    limit = house.limit(Holder.KEY, key.pk, "requests", "minute", 1)
    assert ledger.admit(request_of(house, key))[0].verdict == "admitted"
    late = request_of(house, key) | {"position": 0}
    query, values = "select verdict from admit_v1(%s, %s::jsonb)", [ledger.incarnation, json.dumps([late])]
    with pytest.raises(psycopg.errors.SerializationFailure):
        call_late(ledger, query, values, lambda: turn(owner_database_url, limit.pk))
    assert used_of(limit.pk) == 0
    assert ledger.connection.execute(query, values).fetchall() == [("admitted",)]
    hold = Hold.objects.get(request_id=late["request_id"])
    assert hold.admitted_at >= LimitWindow.objects.get(limit_id=limit.pk).starts_at


def call_late(ledger: RawLedger, query: str, values: list[Any], meanwhile: Callable[[], None]) -> None:
    """A call that began, and was kept waiting."""
    with ledger.connection.transaction():
        ledger.connection.execute("select now()")
        meanwhile()
        ledger.connection.execute(query, values)


def test_a_clock_that_was_put_back_stops_nobody(house: House, ledger: RawLedger, owner_database_url: str) -> None:
    """A standby whose clock is behind took over: windows begin in the future then, and are taken as they are."""
    key = house.key().row
    limit = house.limit(Holder.KEY, key.pk, "requests", "minute", 2)
    assert ledger.admit(request_of(house, key))[0].verdict == "admitted"
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute(
            "update billing_limit_window set starts_at = now() + interval '5 minutes',"
            " ends_at = now() + interval '6 minutes' where limit_id = %s",
            [limit.pk],
        )
    assert [ledger.admit(request_of(house, key))[0].verdict for _ in range(2)] == ["admitted", "limit"]

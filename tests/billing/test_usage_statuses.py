"""How a request ended is one of a few words: PostgreSQL holds that, and the API's introduction explains each."""

import re
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests.billing.raw_ledger import RawLedger, request_of, settlement_of
from tests.support.ledger import make_house

RULE = "usage_record_status_is_known"


def test_the_statuses_that_the_introduction_explains_are_those_that_there_are(database: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select distinct pg_get_constraintdef(oid), convalidated from pg_constraint where conname = %s", [RULE]
        )
        [(rule, is_valid)] = cursor.fetchall()
        cursor.execute(
            "select count(*) from pg_constraint where conrelid in (select 'billing_usage_record'::regclass)"
            " and contype = 'c' and pg_get_constraintdef(oid) like '%%status%%'"
        )
        assert cursor.fetchone() == (1,)
    assert is_valid
    introduction = Path(settings.BASE_DIR, "gateway/api/introduction.md").read_text()
    explained = re.findall(r"^\| `([a-z_]+)` \|", introduction, re.MULTILINE)
    assert sorted(explained) == sorted(re.findall(r"'([a-z_]+)'", rule))
    assert "engine_refused" in explained


@pytest.mark.parametrize("status", ["engine_refuses", "", "Completed"])
def test_another_status_is_refused(ledger: RawLedger, status: str) -> None:
    house = make_house()
    request = request_of(house, house.key().row)
    ledger.admit(request)
    with pytest.raises(psycopg.errors.CheckViolation):
        ledger.settle(settlement_of(house, request["request_id"], status=status))
    ledger.settle(settlement_of(house, request["request_id"], status="engine_refused"))

"""Days of a time zone from the sums of days in UTC: as if every hourly sum had been added up."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from billing.usage.day_sums import DAYS_USED, SUMS, DaysUsed
from tests.support.ledger import House, make_house

# Around both changes of the clocks, in March of Europe and in April of New Zealand.
FIRST, LAST = datetime(2026, 3, 26, tzinfo=UTC), datetime(2026, 4, 8, tzinfo=UTC)
ZONES = (
    "UTC", "Europe/Paris", "America/Bogota", "America/Los_Angeles", "Asia/Kolkata", "Asia/Tokyo", "Pacific/Auckland",
    "Pacific/Kiritimati", "Pacific/Pago_Pago", "Australia/Lord_Howe",
)  # fmt: skip
_EVERY_HOUR = f"""
    insert into billing_usage_hour (hour, tenant_id, project_id, key_id, model_id, mode, {", ".join(SUMS)},
        uncharged_nano_eur)
    select hour, %(tenant)s, %(project)s, %(key)s, %(model)s, 'standard', {", ".join("n * n" for _ in SUMS)}, 0
    from generate_series(%(first)s::timestamptz, %(last)s, interval '1 hour') with ordinality x (hour, n)
"""
_DAYS = f"""
    insert into billing_usage_day (day, tenant_id, project_id, model_id, mode, {", ".join(SUMS)}, uncharged_nano_eur)
    select date_trunc('day', hour, 'UTC'), tenant_id, project_id, model_id, mode,
        {", ".join(f"sum({name})" for name in SUMS)}, 0
    from billing_usage_hour where tenant_id = %(tenant)s group by 1, 2, 3, 4, 5
"""
_RIGHT = f"""
    select (hour at time zone %(zone)s)::date, {", ".join(f"sum({name})" for name in SUMS)}
    from billing_usage_hour where tenant_id = %(tenant)s
        and (hour at time zone %(zone)s)::date between %(first)s and %(last)s group by 1 order by 1
"""
_FOUND = f"""
    with {DAYS_USED}
    select local_day, {", ".join(f"sum({name})" for name in SUMS)} from used group by 1 order by 1
"""


@pytest.fixture(scope="module")
def house(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[House]:
    with django_db_blocker.unblock():
        house = make_house()
        values = {"tenant": house.tenant.pk, "project": house.project.pk, "model": house.model.pk}
        with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
            for key in (house.key(), house.key()):
                owner.execute(_EVERY_HOUR, values | {"key": key.row.pk, "first": FIRST, "last": LAST})
            owner.execute(_DAYS, values)
        yield house


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("first", "last"),
    [(date(2026, 3, 28), date(2026, 4, 6)), (date(2026, 3, 29), date(2026, 3, 29)), (date(2026, 4, 5),) * 2],
)
def test_every_day_is_the_sum_of_its_hours(house: House, zone: str, first: date, last: date) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_FOUND, DaysUsed(house.tenant.pk, first, last, zone).parameters())
        found = cursor.fetchall()
        cursor.execute(_RIGHT, {"tenant": house.tenant.pk, "zone": zone, "first": first, "last": last})
        right = cursor.fetchall()
    assert [row[0] for row in right] == [first + timedelta(days=n) for n in range((last - first).days + 1)]
    assert found == right

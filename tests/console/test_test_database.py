"""The tests' own database: it must hold the application to the privileges of production."""

import psycopg
import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError


def test_django_works_as_the_role_that_may_not_change_the_schema(database: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select current_user")
        assert cursor.fetchone() == ("beffroi_app",)
        with pytest.raises(ProgrammingError), transaction.atomic():
            cursor.execute("create table public.mine (id int)")


def test_the_owner_and_the_gateway_have_logins_of_their_own(owner_database_url: str, gateway_database_url: str) -> None:
    for url, role in ((owner_database_url, "beffroi_owner"), (gateway_database_url, "beffroi_gateway")):
        with psycopg.connect(url) as session:
            assert session.execute("select current_user").fetchone() == (role,)

"""A database where no gateway runs, for tests that fence gateways: one of another test would settle what they left."""

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.support.outage import OwnPostgres


@pytest.fixture(scope="session")
def own_ledger(django_db_setup: None) -> Iterator[OwnPostgres]:
    """A cluster of their own."""
    with OwnPostgres(durable=False) as postgres:
        yield postgres


@pytest.fixture
def database(own_ledger: OwnPostgres, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """That cluster, used by Django meanwhile."""
    with django_db_blocker.unblock(), own_ledger.used_by_django():
        yield


@pytest.fixture
def owner_database_url(own_ledger: OwnPostgres) -> str:
    """The owner of its tables."""
    return own_ledger.environment["DATABASE_OWNER_URL"]


@pytest.fixture
def gateway_database_url(own_ledger: OwnPostgres) -> str:
    """Who may call its ledger."""
    return own_ledger.environment["DATABASE_GATEWAY_URL"]

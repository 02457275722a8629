"""A ledger to call, for the tests that call its functions themselves."""

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.billing.raw_ledger import RawLedger
from tests.billing.whole_ledger import Scene, served_tenant
from tests.support.outage import OwnPostgres


@pytest.fixture
def ledger(database: None, gateway_database_url: str) -> Iterator[RawLedger]:
    """An incarnation of its own."""
    ledger = RawLedger.open(gateway_database_url)
    try:
        yield ledger
    finally:
        ledger.close()


@pytest.fixture(scope="session")
def whole_ledger(django_db_setup: None) -> Iterator[OwnPostgres]:
    """A cluster in which every row adds up."""
    with OwnPostgres() as postgres:
        yield postgres


@pytest.fixture
def postgres(whole_ledger: OwnPostgres, django_db_blocker: DjangoDbBlocker) -> Iterator[OwnPostgres]:
    """That cluster, used by Django meanwhile."""
    with django_db_blocker.unblock(), whole_ledger.used_by_django():
        yield whole_ledger


@pytest.fixture
def scene(postgres: OwnPostgres) -> Iterator[Scene]:
    """A tenant that was served there."""
    with served_tenant(postgres) as scene:
        yield scene

"""How our tests meet the database.

They commit for real: a rolled-back test would not see the locks, triggers and NOTIFYs that we rely on. Nothing is
truncated (the application's role may not), so each test makes tenants of its own and looks only at those.

- `database`: this test uses PostgreSQL through Django, as role beffroi_app, and commits.
- `owner_database_url`, `gateway_database_url`: addresses for the two other roles.
- `valkey`: this test needs the broker; gives its address.
- `django_db` (pytest-django's mark) also works where a rolled-back test is enough; not its `transaction=True`, which
  truncates.
"""

import os
from collections.abc import Iterator

import django
import pytest
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker

from console.supervisor import packages
from tests.support.pictures import PICTURES
from tests.support.servers import servers  # it makes the environment that Django's settings read

django.setup()

from django.utils import translation  # noqa: E402

from console import texts  # noqa: E402  # it needs Django

texts.compile_all()
packages.install(for_tests=True)  # the pages' style and scripts: a fresh clone has none

# How long an example takes says on a shared machine what its neighbours do.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


def pytest_configure(config: pytest.Config) -> None:
    """Let the processes of `-n` make their own servers: with this name there, they would read ours before."""
    if config.option.numprocesses:
        del os.environ["DJANGO_SETTINGS_MODULE"]


def pytest_report_header() -> str:
    """Where the pictures of pages are kept."""
    return f"pictures: {PICTURES}"


@pytest.fixture(scope="session")
def django_db_setup() -> None:
    """Replaces pytest-django's: our database is migrated by its owner, then used by the application's role."""
    servers.start_database()


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Real PostgreSQL, real commits."""
    from django.db import connections

    with django_db_blocker.unblock():
        yield
        connections.close_all()


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    """A page leaves its reader's language to the thread, and the next test would be refused in it."""
    yield
    translation.deactivate()


@pytest.fixture
def owner_database_url(django_db_setup: None) -> str:
    """The owner of the tables: may do everything."""
    return os.environ["DATABASE_OWNER_URL"]


@pytest.fixture
def gateway_database_url(django_db_setup: None) -> str:
    """The gateway: may call the ledger's functions and read what it needs."""
    return os.environ["DATABASE_GATEWAY_URL"]


@pytest.fixture(scope="session")
def valkey() -> str:
    """A running Valkey's address."""
    servers.start_valkey()
    return servers.valkey.url

"""Four nodes with an engine each, before one gateway with the limits of production."""

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.failures.fleet import Crowd, Fleet
from tests.support.machines import why_not


@pytest.fixture(scope="module")
def fleet(django_db_blocker: DjangoDbBlocker) -> Iterator[Fleet]:
    """All tests of a file share it: each leaves every engine running and every cable plugged in."""
    if reason := why_not():
        pytest.skip(f"no network namespaces: {reason}")
    with django_db_blocker.unblock(), Fleet(nodes=4) as fleet:
        yield fleet


@pytest.fixture
def crowd(fleet: Fleet, django_db_blocker: DjangoDbBlocker) -> Crowd:
    """Clients whom nobody has seen before."""
    with django_db_blocker.unblock():
        return Crowd(fleet)

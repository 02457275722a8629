"""The ledger is added up again every night, by one worker; who runs the platform is told where it differs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache

from billing.checks import ledger_checks
from billing.checks.ledger_checks import check_if_due, last_check
from billing.checks.verification import Difference
from billing.models import LedgerCheck
from identity.models import Notice
from tests.support.console import page, signed_in
from tests.support.people import Cast, make_cast

# A night of its own: these rows are the platform's, and other tests may look at them.
EVENING = datetime(2031, 5, 6, 22, tzinfo=UTC)
NIGHT = EVENING + timedelta(hours=4)


@pytest.fixture
def found(database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Difference]]:
    """What adding up finds, instead of adding up what other tests left."""
    differences: list[Difference] = []
    monkeypatch.setattr(ledger_checks, "verify", lambda: list(differences))
    LedgerCheck.objects.all().delete()
    cache.clear()
    yield differences
    LedgerCheck.objects.all().delete()
    cache.clear()


def test_it_is_added_up_once_a_night_however_often_the_clock_asks(found: list[Difference]) -> None:
    assert check_if_due(EVENING) is not None  # nobody did today
    assert check_if_due(EVENING + timedelta(hours=1)) is None
    assert check_if_due(NIGHT) is not None
    assert check_if_due(NIGHT + timedelta(hours=20)) is None
    assert check_if_due(NIGHT + timedelta(days=1)) is not None
    assert LedgerCheck.objects.count() == 3


def test_a_check_that_was_broken_off_is_made_again_and_one_that_runs_is_left_alone(
    found: list[Difference], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed() -> list[Difference]:
        assert check_if_due(NIGHT + timedelta(minutes=5)) is None  # another worker, meanwhile
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger_checks, "verify", killed)
    with pytest.raises(KeyboardInterrupt):
        check_if_due(NIGHT)
    assert last_check() is None
    monkeypatch.setattr(ledger_checks, "verify", list)
    assert check_if_due(NIGHT + timedelta(hours=5)) is None
    assert check_if_due(NIGHT + timedelta(hours=7)) is not None


def test_the_first_difference_is_named_and_told_and_the_pages_say_so(found: list[Difference]) -> None:
    cast: Cast = make_cast()
    client, address = signed_in(cast.alice), f"/t/{cast.tenant.slug}/billing"
    check_if_due(EVENING)
    assert "every sum agrees" in page(client.get(address))
    found += [Difference("cost", "request 1 of tenant 2", "3", "4"), Difference("hours", "there", "5", "6")]
    check = check_if_due(NIGHT)
    assert check is not None
    assert (check.differences, check.first) == (2, "cost: request 1 of tenant 2: expected 3, found 4")
    told = Notice.objects.get(tenant=None, kind="ledger.differs", once_key=f"ledger.differs:{check.pk}")
    assert told.context["first"] == check.first
    assert "something differed" in page(client.get(address))
    assert "request 1 of" not in page(client.get(address))


def test_whoever_was_away_for_nights_adds_up_as_soon_as_it_is_back(found: list[Difference]) -> None:
    check_if_due(NIGHT)
    assert check_if_due(NIGHT + timedelta(days=9, hours=7)) is not None
    assert LedgerCheck.objects.filter(differences=0).count() == 2

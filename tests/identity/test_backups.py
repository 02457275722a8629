"""Backups that the operator's script tells of: noted once, shown as done, late or missing."""

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from console.set_up_list import State, set_up_lines
from identity.backups import LATE_AFTER, BackupState, last_backup, note_backup, state_of
from identity.errors import Forbidden
from identity.models import AuditEvent, Backup, OperatorRole
from identity.operators import operator_for_person
from tests.support.console import page, signed_in
from tests.support.people import make_operator

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _no_backup_is_left(database: None) -> Iterator[None]:
    yield
    Backup.objects.all().delete()


def noted(*options: str) -> str:
    out = StringIO()
    call_command("note_backup", *options, stdout=out)
    return out.getvalue()


def line() -> tuple[State, str]:
    return next((one.state, str(one.why)) for one in set_up_lines() if one.key == "backup")


def test_S5_a_backup_is_told_of_and_seen_to_be_late() -> None:
    now = timezone.now()
    assert state_of(None, now) == BackupState.MISSING
    assert line()[0] == State.MISSING
    long_ago = now - LATE_AFTER - timedelta(minutes=1)
    noted("--size", "5000000", "--made-at", long_ago.isoformat())
    assert line() == (State.BROKEN, "Late: the last one was made 1 day ago, 4.8\xa0MB.")
    assert "Noted: 7000000 bytes" in noted("--size", "7000000")
    state, why = line()
    assert state == State.DONE
    assert why.startswith("The last one was made ")
    assert why.endswith(" ago, 6.7\xa0MB.")
    noted("--size", "5000000", "--made-at", long_ago.isoformat())
    assert line()[0] == State.DONE
    assert Backup.objects.count() == 2
    told = AuditEvent.objects.filter(tenant=None, action="backup.noted").latest("sequence")
    last = last_backup()
    assert last is not None
    assert (told.detail["size_bytes"], told.target) == (7_000_000, str(last.pk))
    assert "6.7\xa0MB" in page(signed_in(make_operator()).get(reverse("operator-set-up")))


@pytest.mark.parametrize(
    "options",
    [
        ("--size", "0"),
        ("--size", "5", "--made-at", "yesterday"),
        ("--size", "5", "--made-at", "2026-11-01T03:00"),
        ("--size", "5", "--made-at", "2126-11-01T03:00Z"),
    ],
)
def test_a_backup_that_cannot_be_is_refused(options: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        noted(*options)
    assert last_backup() is None


def test_only_who_operates_the_platform_tells_of_one() -> None:
    with pytest.raises(Forbidden):
        note_backup(by=operator_for_person(make_operator(OperatorRole.SUPPORT)), made_at=timezone.now(), size_bytes=1)

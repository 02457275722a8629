"""What the operator tells every tenant (O4)."""

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from identity.announcements import ANNOUNCED
from identity.models import AuditEvent, Tenant
from identity.notices import inbox
from tests.support.people import make_quiet_cast

pytestmark = pytest.mark.usefixtures("database")

WORK = ("what=new switches", "starts_at=2026-12-01T20:00+01:00", "ends_at=2026-12-01T22:00+01:00", "effect=None.")


def test_O4_what_is_announced_reaches_the_named_tenants_once() -> None:
    cast = make_quiet_cast()
    for _ in range(2):
        call_command("announce", "platform.work_planned", *WORK, "--tenant", cast.tenant.slug)
    assert [entry.notice.kind for entry in inbox(cast.bob)] == ["platform.work_planned"]
    assert inbox(cast.charlie) == []
    assert AuditEvent.objects.filter(tenant=None, action="notice.announced").exists()


def test_O4_every_tenant_that_is_active_is_told_where_none_is_named() -> None:
    cast, others = make_quiet_cast(), make_quiet_cast()
    mine = [cast.tenant.pk, cast.strangers.pk]
    with transaction.atomic():
        Tenant.objects.exclude(pk__in=mine).update(status=Tenant.Status.SUSPENDED)
        call_command("announce", "price.changed", "count=1", "models=small", "from_at=2027-01-01T00:00+01:00")
        told = [[entry.notice.kind for entry in inbox(person)] for person in (cast.alice, cast.charlie, others.alice)]
        transaction.set_rollback(True)  # the tests' other tenants were none of ours to suspend
    assert told == [["price.changed"], ["price.changed"], []]


def test_what_cannot_be_worded_or_is_not_the_operators_to_tell_is_refused() -> None:
    with pytest.raises(CommandError, match="It needs: effect, ends_at, starts_at, what"):
        call_command("announce", "platform.work_planned", "what=something")
    with pytest.raises(CommandError, match="no such organisation"):
        call_command("announce", "platform.work_planned", *WORK, "--tenant", "nowhere-at-all")
    assert "budget.reached" not in ANNOUNCED

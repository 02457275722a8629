"""Notices and the inbox."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from identity import notices
from identity.errors import NotFound
from identity.models import Notice, NoticeReading, Person, Role, Tenant
from identity.notices import inbox, mark_all_read, mark_read, notify
from tests.support.people import make_person, make_quiet_cast, make_tenant

pytestmark = pytest.mark.usefixtures("database")


BUDGET = {
    "name": "Default",
    "percent": 80,
    "spent_nano_eur": 8 * 10**9,
    "limit_nano_eur": 10**10,
    "resets_at": "2026-12-01T00:00:00+01:00",
}
ENDS = {"model": "small", "ends_on": "2027-03-01", "replacement": "large"}
EJECTED = {"replica": "r1", "model": "small", "reason": "it does not answer"}


def kinds_for(person: Person, tenant: Tenant | None) -> list[str]:
    return [entry.notice.kind for entry in inbox(person) if entry.notice.tenant == tenant]


def test_a_notice_reaches_all_members_and_no_stranger() -> None:
    cast = make_quiet_cast()
    notify(cast.tenant, "model.deprecated", context=ENDS)
    assert kinds_for(cast.alice, cast.tenant) == ["model.deprecated"]
    assert kinds_for(cast.bob, cast.tenant) == ["model.deprecated"]
    assert kinds_for(cast.charlie, cast.tenant) == []
    assert inbox(cast.alice)[0].notice.context == ENDS


def test_a_notice_to_roles_reaches_those_only() -> None:
    cast = make_quiet_cast()
    fay = make_person("fay", cast.tenant, Role.FINANCE)
    mark_all_read(cast.alice)
    notify(cast.tenant, "budget.reached", context=BUDGET, roles=[Role.OWNER, Role.FINANCE], level=Notice.Level.WARNING)
    assert [entry.notice.kind for entry in inbox(cast.alice, unread_only=True)] == ["budget.reached"]
    assert kinds_for(fay, cast.tenant) == ["budget.reached"]
    assert kinds_for(cast.bob, cast.tenant) == []


def test_I6_a_role_in_one_tenant_says_nothing_in_another() -> None:
    cast = make_quiet_cast()
    notify(cast.tenant, "budget.reached", context=BUDGET, roles=[Role.OWNER])
    assert kinds_for(cast.charlie, cast.tenant) == []


def test_the_platforms_notices_reach_its_operators_only() -> None:
    operator = make_person("olga")
    Person.objects.filter(pk=operator.pk).update(is_operator=True)
    operator.refresh_from_db()
    cast = make_quiet_cast()
    notice = notify(None, "replica.ejected", context=EJECTED)
    assert notice in [entry.notice for entry in inbox(operator)]
    assert inbox(cast.alice) == []


def test_a_notice_with_a_key_is_sent_once() -> None:
    tenant, other = make_tenant(), make_tenant()
    first = notify(tenant, "budget.reached", context=BUDGET, once_key="budget:7:80")
    assert notify(tenant, "budget.reached", context=BUDGET, once_key="budget:7:80") == first
    assert notify(tenant, "budget.reached", context=BUDGET, once_key="budget:7:100") != first
    assert notify(other, "budget.reached", context=BUDGET, once_key="budget:7:80") != first
    platform = notify(None, "budget.reached", context=BUDGET, once_key=f"{tenant.slug}")
    assert notify(None, "budget.reached", context=BUDGET, once_key=f"{tenant.slug}") == platform
    assert notify(tenant, "budget.reached", context=BUDGET) != notify(tenant, "budget.reached", context=BUDGET)


def test_a_notice_is_sent_once_by_many_at_once() -> None:
    tenant = make_tenant()

    def tell() -> int:
        try:
            return notify(tenant, "budget.reached", context=BUDGET, once_key="budget:7:80").pk
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        told = {future.result(timeout=30) for future in [pool.submit(tell) for _ in range(12)]}
    assert len(told) == 1
    assert Notice.objects.filter(tenant=tenant).count() == 1


def test_reading_is_remembered_for_each_person() -> None:
    cast = make_quiet_cast()
    notice = notify(cast.tenant, "model.deprecated", context=ENDS)
    mark_read(cast.alice, notice.pk)
    mark_read(cast.alice, notice.pk)
    assert [entry.is_read for entry in inbox(cast.alice)] == [True]
    assert [entry.is_read for entry in inbox(cast.bob)] == [False]
    assert NoticeReading.objects.filter(notice=notice).count() == 1


def test_I6_nobody_reads_what_is_addressed_to_others() -> None:
    cast = make_quiet_cast()
    for notice in (
        notify(cast.tenant, "model.deprecated", context=ENDS),
        notify(None, "replica.ejected", context=EJECTED),
    ):
        with pytest.raises(NotFound):
            mark_read(cast.charlie, notice.pk)
    with pytest.raises(NotFound):
        mark_read(cast.charlie, 10**12)


def test_the_inbox_holds_the_newest_first_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "INBOX_LENGTH_MAX", 2)
    cast = make_quiet_cast()
    made = [notify(cast.tenant, "model.deprecated", context=ENDS) for _ in range(3)]
    assert [entry.notice for entry in inbox(cast.alice)] == [made[2], made[1]]

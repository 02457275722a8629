"""Support sessions: an operator is a stranger, then a guest who looks, then a stranger again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from identity import access, support_sessions
from identity.access import caller_for_person
from identity.api_keys import mint_api_key
from identity.audit import verify_chain
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.key_policy import KeyPolicy
from identity.members import add_member, change_member, remove_member
from identity.models import AuditEvent, OperatorRole, Role, SupportSession, Tenant
from identity.notices import inbox
from identity.operators import dismiss_operator
from identity.people import switch_person_off
from identity.permissions import SUPPORT_MAY_BE_GRANTED, SUPPORT_PERMISSIONS, Permission
from identity.scopes import Scope
from identity.support_sessions import end_session, grant, leave_session, live_sessions, open_session
from tests.support.people import TESTS, as_member, make_cast, make_operator, make_person

pytestmark = pytest.mark.usefixtures("database")
P = Permission
HOUR = timedelta(hours=1)


def opened(tenant: Tenant, role: OperatorRole = OperatorRole.SUPPORT) -> SupportSession:
    operator = make_operator(role)
    return open_session(operator=operator, slug=tenant.slug, reason="Ticket 4711: wrong budget", duration=HOUR)


def let_time_pass(session: SupportSession, *, hours: int) -> None:
    past = timedelta(hours=hours)
    SupportSession.objects.filter(pk=session.pk).update(
        opened_at=session.opened_at - past, expires_at=session.expires_at - past
    )


def test_I6_an_operator_is_a_stranger_in_every_tenant() -> None:
    cast = make_cast()
    for role in OperatorRole:
        operator = make_operator(role)
        with pytest.raises(NotFound):
            caller_for_person(operator, cast.tenant.slug)
        assert list(access.tenants_of(operator)) == []


def test_an_operator_with_a_session_looks_and_does_nothing_else() -> None:
    cast = make_cast()
    session = opened(cast.tenant)
    assert session.operator is not None
    caller = caller_for_person(session.operator, cast.tenant.slug)
    assert caller.permissions == SUPPORT_PERMISSIONS
    assert all(":read" in permission for permission in caller.permissions)
    assert (caller.actor.kind, caller.actor.name) == ("operator", str(session.operator.pseudonym))
    assert list(access.tenants_of(session.operator)) == [cast.tenant]
    assert access.project_for(caller, cast.project.pk) == cast.project
    with pytest.raises(NotFound):
        caller_for_person(session.operator, cast.strangers.slug)


def test_the_tenant_is_told_and_both_chains_know() -> None:
    cast = make_cast()
    adam = make_person("adam", cast.tenant, Role.ADMINISTRATOR)
    session = opened(cast.tenant)
    for person, is_told in ((cast.alice, True), (adam, True), (cast.bob, False)):
        assert ("support.opened" in [entry.notice.kind for entry in inbox(person)]) == is_told
    end_session(by=as_member(cast.alice, cast.tenant), session_id=session.pk)
    assert session.operator is not None
    for tenant in (cast.tenant, None):
        events = AuditEvent.objects.filter(tenant=tenant, target_kind="supportsession", target=str(session.pk))
        told = [(event.action, event.actor_kind) for event in events.order_by("sequence")]
        assert told == [("support_session.opened", "operator"), ("support_session.ended", "person")]
        assert events.earliest("sequence").detail["expires_at"] == session.expires_at.isoformat()
    assert verify_chain(cast.tenant).broken is None


@pytest.mark.parametrize("side", ["owner", "administrator", "operator", "time", "dismissal", "switched off"])
def test_I6_a_session_ends_from_either_side_and_by_time(side: str) -> None:
    cast = make_cast()
    session = opened(cast.tenant)
    operator = session.operator
    assert operator is not None
    assert live_sessions(cast.tenant) == [session]
    if side in ("owner", "administrator"):
        member = make_person("member", cast.tenant, Role(side))
        end_session(by=as_member(member, cast.tenant), session_id=session.pk)
    elif side == "operator":
        leave_session(operator=operator, session_id=session.pk)
    elif side == "time":
        let_time_pass(session, hours=1)
    elif side == "dismissal":
        dismiss_operator(operator, OperatorRole.SUPPORT, actor=TESTS)
    else:
        switch_person_off(operator, actor=TESTS)
    operator.refresh_from_db()
    with pytest.raises(NotFound):
        caller_for_person(operator, cast.tenant.slug)
    assert list(access.tenants_of(operator)) == []


def test_who_may_not_end_a_session() -> None:
    cast = make_cast()
    session = opened(cast.tenant)
    with pytest.raises(Forbidden):
        end_session(by=as_member(cast.bob, cast.tenant), session_id=session.pk)
    with pytest.raises(NotFound):
        end_session(by=as_member(cast.charlie, cast.strangers), session_id=session.pk)
    with pytest.raises(NotFound):
        leave_session(operator=make_operator(), session_id=session.pk)
    assert live_sessions(cast.tenant) == [session]


def test_a_session_that_is_over_can_be_followed_by_another() -> None:
    cast = make_cast()
    first = opened(cast.tenant)
    assert first.operator is not None
    with pytest.raises(Conflict):
        open_session(operator=first.operator, slug=cast.tenant.slug, reason="again", duration=HOUR)
    let_time_pass(first, hours=2)
    second = open_session(operator=first.operator, slug=cast.tenant.slug, reason="again", duration=HOUR)
    assert live_sessions(cast.tenant) == [second]
    first.refresh_from_db()
    assert first.ended_at == first.expires_at


def test_what_a_session_needs() -> None:
    cast = make_cast()
    operator = make_operator(OperatorRole.PLATFORM)
    slug = cast.tenant.slug
    for reason, duration in (("", HOUR), ("why", timedelta(hours=8, seconds=1)), ("why", timedelta(0))):
        with pytest.raises(Invalid):
            open_session(operator=operator, slug=slug, reason=reason, duration=duration)
    with pytest.raises(NotFound):
        open_session(operator=operator, slug="no-such-tenant", reason="why", duration=HOUR)
    for nobody in (make_operator(OperatorRole.BILLING), cast.bob):
        with pytest.raises(Forbidden):
            open_session(operator=nobody, slug=slug, reason="why", duration=HOUR)
    session = open_session(operator=operator, slug=slug, reason="why", duration=timedelta(hours=8))
    with pytest.raises(IntegrityError):
        SupportSession.objects.filter(pk=session.pk).update(expires_at=session.opened_at + timedelta(hours=9))


def test_an_owner_adds_permissions_for_a_time() -> None:
    cast = make_cast()
    session, alice = opened(cast.tenant), as_member(cast.alice, cast.tenant)
    operator = session.operator
    assert operator is not None
    grant(by=alice, session_id=session.pk, permissions=[P.BUDGET_UPDATE], duration=timedelta(minutes=30))
    assert caller_for_person(operator, cast.tenant.slug).permissions == SUPPORT_PERMISSIONS | {P.BUDGET_UPDATE}
    SupportSession.objects.filter(pk=session.pk).update(granted_until=timezone.now())
    assert not caller_for_person(operator, cast.tenant.slug).may(P.BUDGET_UPDATE)
    grant(by=alice, session_id=session.pk, permissions=[P.KEY_REVOKE], duration=timedelta(days=3))
    session.refresh_from_db()
    assert session.granted_until == session.expires_at
    grant(by=alice, session_id=session.pk, permissions=[], duration=timedelta(0))
    assert caller_for_person(operator, cast.tenant.slug).permissions == SUPPORT_PERMISSIONS
    actions = AuditEvent.objects.filter(tenant=cast.tenant, action="support_session.granted")
    assert actions.count() == 3


def test_only_an_owner_adds_and_only_what_may_be_added() -> None:
    cast = make_cast()
    session = opened(cast.tenant)
    assert session.operator is not None
    for weak in (Role.ADMINISTRATOR, Role.DEVELOPER, Role.AUDITOR):
        caller = as_member(make_person("weak", cast.tenant, weak), cast.tenant)
        with pytest.raises(Forbidden):
            grant(by=caller, session_id=session.pk, permissions=[P.BUDGET_UPDATE], duration=HOUR)
    guest = caller_for_person(session.operator, cast.tenant.slug)
    with pytest.raises(Forbidden):
        grant(by=guest, session_id=session.pk, permissions=[P.BUDGET_UPDATE], duration=HOUR)
    for permission in set(P) - SUPPORT_MAY_BE_GRANTED:
        with pytest.raises(Forbidden):
            grant(by=as_member(cast.alice, cast.tenant), session_id=session.pk, permissions=[permission], duration=HOUR)
        # Nor if it came into the row by another way.
        SupportSession.objects.filter(pk=session.pk).update(
            granted=[permission.value], granted_until=session.expires_at
        )
        assert caller_for_person(session.operator, cast.tenant.slug).permissions == SUPPORT_PERMISSIONS


@pytest.mark.parametrize(
    "permission", [P.KEY_CREATE, P.KEY_ROTATE, P.KEY_UPDATE, P.INFERENCE_CALL, P.PLAYGROUND_USE, P.MEMBER_UPDATE,
                   P.MEMBER_INVITE, P.PROVIDER_UPDATE, P.SUPPORT_GRANT, P.KEY_RULES_UPDATE]
)  # fmt: skip
def test_no_operator_ever_gets_credentials_or_lets_anybody_in(permission: Permission) -> None:
    assert permission not in SUPPORT_PERMISSIONS | SUPPORT_MAY_BE_GRANTED


def test_I6_an_operator_with_everything_that_can_be_granted_makes_no_key_and_no_member() -> None:
    cast = make_cast()
    session = opened(cast.tenant, OperatorRole.PLATFORM)
    assert session.operator is not None
    grant(
        by=as_member(cast.alice, cast.tenant),
        session_id=session.pk,
        permissions=SUPPORT_MAY_BE_GRANTED,
        duration=HOUR,
    )
    guest = caller_for_person(session.operator, cast.tenant.slug)
    policy = KeyPolicy(frozenset({Scope.INFERENCE}))
    for attempt in (
        lambda: mint_api_key(maker=guest, project=cast.project, name="mine", policy=policy),
        lambda: add_member(by=guest, person=cast.charlie, role=Role.OWNER),
        lambda: change_member(by=guest, person=cast.bob, role=Role.OWNER),
        lambda: remove_member(by=guest, person=cast.bob),
    ):
        with pytest.raises(Forbidden):
            attempt()


def test_two_sessions_opened_at_once_are_one() -> None:
    cast, operator = make_cast(), make_operator()
    together = Barrier(2)

    def try_to_open() -> bool:
        try:
            together.wait(timeout=30)
            open_session(operator=operator, slug=cast.tenant.slug, reason="why", duration=HOUR)
        except Conflict:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        attempts = [pool.submit(try_to_open) for _ in range(2)]
        assert sorted(attempt.result(timeout=30) for attempt in attempts) == [False, True]
    assert len(live_sessions(cast.tenant)) == 1


def test_the_tenant_lists_its_sessions_and_the_operator_their_own() -> None:
    cast = make_cast()
    session = opened(cast.tenant)
    assert session.operator is not None
    assert list(support_sessions.sessions_for(as_member(cast.alice, cast.tenant))) == [session]
    assert list(support_sessions.sessions_for(as_member(cast.charlie, cast.strangers))) == []
    assert list(support_sessions.sessions_of(session.operator)) == [session]
    assert cast.tenant in support_sessions.tenants_to_support(session.operator)
    with pytest.raises(Forbidden):
        support_sessions.sessions_for(as_member(cast.bob, cast.tenant))
    with pytest.raises(Forbidden):
        support_sessions.tenants_to_support(cast.alice)

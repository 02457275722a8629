"""Invitations: an address is asked, its owner signs in, a member is there."""

import uuid
from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from identity.access import caller_for_key
from identity.email_domains import confirm_domain
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.invitations import accept_invitations, invitations_for, invite, withdraw
from identity.members import remove_member
from identity.models import AuditEvent, IdentityProvider, Invitation, Membership, NoticeDelivery, Person, Role
from identity.people import create_person
from identity.projects import create_project
from identity.scopes import Scope
from tests.support.people import TESTS, as_member, make_cast, make_key, make_operator, make_person

pytestmark = pytest.mark.usefixtures("database")


# What decides is whose provider it is: no row is needed.
SHARED = IdentityProvider(audience=IdentityProvider.Audience.SHARED)


def an_address() -> str:
    return f"erin-{uuid.uuid4().hex}@example.org"


def signs_in(email: str, *, days_later: int = 0) -> tuple[Person, list[Membership]]:
    """Somebody whom the identity provider vouches for."""
    person = Person.objects.filter(email=email).first() or create_person(email=email, actor=TESTS)
    now = timezone.now() + timedelta(days=days_later)
    return person, accept_invitations(person=person, verified_email=email.upper(), through=SHARED, now=now)


def test_who_was_invited_gets_an_email_and_is_a_member_after_signing_in() -> None:
    cast, email = make_cast(), an_address()
    second = create_project(cast.tenant, "Second", actor=TESTS)
    alice = as_member(cast.alice, cast.tenant)
    invite(by=alice, email=f" {email.upper()} ", role=Role.DEVELOPER, projects=[second])
    assert not NoticeDelivery.objects.filter(address=email).exists()  # no mail server is set up
    with override_settings(MAIL_IS_SET_UP=True):
        invitation = invite(by=alice, email=email, role=Role.DEVELOPER, projects=[second])
    mailed = NoticeDelivery.objects.get(notice__kind="invitation.received", address=email)
    assert list(invitations_for(alice)) == [invitation]
    assert (mailed.channel, mailed.notice.context["organisation"]) == ("email", cast.tenant.name)
    person, [membership] = signs_in(email)
    assert (membership.role, membership.source) == ("developer", "invitation")
    assert as_member(person, cast.tenant).project_ids == frozenset({second.pk})
    assert list(invitations_for(alice)) == []
    assert signs_in(email)[1] == []
    chain = AuditEvent.objects.filter(tenant=cast.tenant).order_by("-sequence").values_list("action", "actor_kind")
    assert list(chain[:3]) == [
        ("invitation.accepted", "person"),
        ("member.added", "system"),
        ("invitation.made", "person"),
    ]


def test_one_sign_in_accepts_the_invitations_of_every_organisation() -> None:
    cast, email = make_cast(), an_address()
    invite(by=as_member(cast.alice, cast.tenant), email=email, role=Role.FINANCE)
    invite(by=as_member(cast.charlie, cast.strangers), email=email, role=Role.AUDITOR)
    _, memberships = signs_in(email)
    assert {membership.tenant: membership.role for membership in memberships} == {
        cast.tenant: "finance",
        cast.strangers: "auditor",
    }


def test_I6_nobody_else_accepts_it() -> None:
    cast, email = make_cast(), an_address()
    invite(by=as_member(cast.alice, cast.tenant), email=email, role=Role.OWNER)
    someone = make_person("someone")
    assert accept_invitations(person=someone, verified_email=someone.email, through=SHARED, now=timezone.now()) == []
    assert accept_invitations(person=someone, verified_email="", through=SHARED, now=timezone.now()) == []
    operator = make_operator()
    assert accept_invitations(person=operator, verified_email=email, through=SHARED, now=timezone.now()) == []
    assert not Membership.objects.filter(person__in=[someone, operator]).exists()


@pytest.mark.parametrize("end", ["expired", "withdrawn", "replaced", "its maker was removed"])
def test_I6_an_invitation_that_is_over_lets_nobody_in(end: str) -> None:
    cast, email = make_cast(), an_address()
    alice, adam = as_member(cast.alice, cast.tenant), make_person("adam", cast.tenant, Role.ADMINISTRATOR)
    invitation = invite(by=as_member(adam, cast.tenant), email=email, role=Role.ADMINISTRATOR)
    if end == "withdrawn":
        withdraw(by=alice, invitation_id=invitation.pk)
    elif end == "replaced":
        invite(by=alice, email=email, role=Role.AUDITOR)
    elif end == "its maker was removed":
        remove_member(by=alice, person=adam)
    person, _ = signs_in(email, days_later=8 if end == "expired" else 0)
    roles = list(Membership.objects.filter(person=person).values_list("role", flat=True))
    assert roles == (["auditor"] if end == "replaced" else [])


def test_a_member_who_was_invited_again_stays_what_they_are() -> None:
    cast, email = make_cast(), an_address()
    alice = as_member(cast.alice, cast.tenant)
    invite(by=alice, email=email, role=Role.DEVELOPER)
    person, _ = signs_in(email)
    with pytest.raises(Conflict, match="member already"):
        invite(by=alice, email=email, role=Role.OWNER)
    stale = Invitation.objects.filter(email=email)
    stale.update(accepted_at=None, role="owner")  # as if both had come at once
    assert signs_in(email)[1] == []
    assert Membership.objects.get(person=person).role == "developer"


def test_I6_who_may_invite_whom() -> None:
    cast = make_cast()
    adam = as_member(make_person("adam", cast.tenant, Role.ADMINISTRATOR), cast.tenant)
    with pytest.raises(Forbidden):
        invite(by=adam, email=an_address(), role=Role.OWNER)
    for weak in (Role.DEVELOPER, Role.FINANCE, Role.AUDITOR):
        caller = as_member(make_person("weak", cast.tenant, weak), cast.tenant)
        with pytest.raises(Forbidden):
            invite(by=caller, email=an_address(), role=Role.AUDITOR)
    with pytest.raises(NotFound):
        invite(by=adam, email=an_address(), role=Role.AUDITOR, projects=list(cast.strangers.projects.all()))
    with pytest.raises(Invalid):
        invite(by=adam, email="erin", role=Role.AUDITOR)


def test_I6_who_may_withdraw() -> None:
    cast = make_cast()
    invitation = invite(by=as_member(cast.alice, cast.tenant), email=an_address(), role=Role.AUDITOR)
    with pytest.raises(NotFound):
        withdraw(by=as_member(cast.charlie, cast.strangers), invitation_id=invitation.pk)
    with pytest.raises(Forbidden):
        withdraw(by=as_member(cast.bob, cast.tenant), invitation_id=invitation.pk)
    assert list(invitations_for(as_member(cast.charlie, cast.strangers))) == []
    withdraw(by=as_member(cast.alice, cast.tenant), invitation_id=invitation.pk)
    with pytest.raises(NotFound):
        withdraw(by=as_member(cast.alice, cast.tenant), invitation_id=invitation.pk)


def test_I6_a_key_without_the_scope_invites_nobody() -> None:
    key, _ = make_key(make_cast().tenant, scopes=[Scope.INFERENCE, Scope.KEYS_MANAGE])
    with pytest.raises(Forbidden):
        invite(by=caller_for_key(key), email=an_address(), role=Role.DEVELOPER)


def test_I6_a_tenants_own_provider_vouches_for_that_tenant_and_its_domains_only() -> None:
    cast, person = make_cast(), make_person("erin")
    domain = f"{uuid.uuid4().hex}.example"
    confirm_domain(cast.strangers, domain, actor=TESTS)
    theirs = IdentityProvider(audience=IdentityProvider.Audience.TENANT, tenant=cast.strangers)
    alice, charlie = as_member(cast.alice, cast.tenant), as_member(cast.charlie, cast.strangers)
    for by in (alice, charlie):
        invite(by=by, email=f"erin@{domain}", role=Role.AUDITOR)
        invite(by=by, email=f"erin@elsewhere.{domain}", role=Role.AUDITOR)
    now = timezone.now()
    elsewhere = f"erin@elsewhere.{domain}"
    assert accept_invitations(person=person, verified_email=elsewhere, through=theirs, now=now) == []
    [membership] = accept_invitations(person=person, verified_email=f"erin@{domain}", through=theirs, now=now)
    assert membership.tenant == cast.strangers
    operators = IdentityProvider(audience=IdentityProvider.Audience.OPERATORS)
    assert accept_invitations(person=person, verified_email=elsewhere, through=operators, now=now) == []

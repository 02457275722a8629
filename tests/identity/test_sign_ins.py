"""Sessions of people, and whom a provider vouches for."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from identity import access, access_requests, email_domains, group_rules, sign_ins
from identity.access import Caller
from identity.claims import Claims
from identity.erasure import export_person
from identity.errors import Conflict, Forbidden, NotFound, SignInRefusal, SignInRefused
from identity.linked_identities import person_for
from identity.members import add_member
from identity.models import (
    AuditEvent,
    IdentityProvider,
    LinkedIdentity,
    Membership,
    OperatorRole,
    Person,
    Role,
    SignIn,
    Tenant,
)
from identity.operators import appoint_operator
from identity.people import create_person, switch_person_off
from identity.projects import create_project
from tests.support.ledger import unique
from tests.support.people import TESTS, Cast, as_member, make_cast, make_person, make_tenant

NOW = timezone.now()
ISSUER = "https://login.example.org"

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cast(database: None) -> Cast:
    return make_cast()


def own_provider(tenant: Tenant) -> IdentityProvider:
    return IdentityProvider.objects.create(audience=IdentityProvider.Audience.TENANT, tenant=tenant, name="own")


def platform_provider(audience: IdentityProvider.Audience) -> IdentityProvider:
    return IdentityProvider.objects.get_or_create(audience=audience, tenant=None, defaults={"name": audience})[0]


def operators_provider(groups: dict[str, OperatorRole]) -> IdentityProvider:
    provider = platform_provider(IdentityProvider.Audience.OPERATORS)
    group_rules.set_operator_groups(provider, groups, actor=TESTS)
    return provider


def shared_provider() -> IdentityProvider:
    return platform_provider(IdentityProvider.Audience.SHARED)


def confirmed_domain(tenant: Tenant) -> str:
    domain = f"{unique('d').replace('_', '-').lower()}.example"
    return email_domains.confirm_domain(tenant, domain, actor=TESTS).domain


def with_an_address_of(tenant: Tenant) -> Person:
    return create_person(email=f"{unique('dora').lower()}@{confirmed_domain(tenant)}", actor=TESTS)


def somebody(email: str = "", *, verified: bool = True, **more: Any) -> Claims:
    address = email or f"{unique('new').lower()}@example.org"
    return Claims(issuer=ISSUER, subject=unique("sub"), email=address, email_verified=verified, **more)


def came_in(claims: Claims, provider: IdentityProvider) -> Person:
    return person_for(claims, provider, language="fr")


def refused(claims: Claims, provider: IdentityProvider) -> SignInRefusal:
    before = Person.objects.count(), LinkedIdentity.objects.count()
    with pytest.raises(SignInRefused) as why:
        person_for(claims, provider, language="en")
    assert (Person.objects.count(), LinkedIdentity.objects.count()) == before
    return why.value.reason


def session(person: Person, provider: IdentityProvider | None = None, **more: Any) -> str:
    key = unique("session")
    door = SignIn.Door.PROVIDER if provider else SignIn.Door.LINK
    client = sign_ins.Client("192.0.2.7", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0")
    sign_ins.begin(person=person, session_key=key, door=door, client=client, now=NOW, provider=provider, **more)
    return key


class TestWhoComesIn:
    def test_a_newcomer_is_made_and_known_again_by_subject_alone(self) -> None:
        claims = somebody(name="Nadia")
        person = came_in(claims, shared_provider())
        assert (person.email, person.name, person.language) == (claims.email, "Nadia", "fr")
        moved = Claims(issuer=ISSUER, subject=claims.subject, email="other@example.org")
        assert came_in(moved, shared_provider()) == person

    def test_a_verified_address_links_a_person_who_was_invited(self, cast: Cast) -> None:
        assert came_in(somebody(cast.bob.email), shared_provider()) == cast.bob

    def test_an_unverified_address_links_and_makes_nobody(self, cast: Cast) -> None:
        assert refused(somebody(cast.bob.email, verified=False), shared_provider()) == SignInRefusal.EMAIL_UNVERIFIED
        assert refused(somebody(verified=False), shared_provider()) == SignInRefusal.EMAIL_UNVERIFIED
        nameless = Claims(issuer=ISSUER, subject=unique("sub"), email_verified=True)
        assert refused(nameless, shared_provider()) == SignInRefusal.EMAIL_MISSING

    def test_a_tenants_provider_vouches_only_for_addresses_of_its_domains(self, cast: Cast) -> None:
        own, domain, theirs = own_provider(cast.tenant), confirmed_domain(cast.tenant), confirmed_domain(cast.strangers)
        assert came_in(somebody(f"{unique('n').lower()}@{domain}"), own)
        for claims in (somebody(cast.charlie.email), somebody(f"x@{theirs}"), somebody(f"x@sub.{domain}")):
            assert refused(claims, own) == SignInRefusal.DOMAIN_NOT_CONFIRMED

    def test_nobody_but_the_operators_provider_lets_an_operator_in(self, cast: Cast) -> None:
        domain = confirmed_domain(cast.tenant)
        operator = create_person(email=f"{unique('op').lower()}@{domain}", actor=TESTS)
        appoint_operator(operator, OperatorRole.SUPPORT, actor=TESTS)
        assert refused(somebody(operator.email), own_provider(cast.tenant)) == SignInRefusal.OPERATOR
        assert refused(somebody(operator.email), shared_provider()) == SignInRefusal.OPERATOR
        claims = somebody(operator.email)
        assert came_in(claims, operators_provider({})) == operator
        assert refused(claims, shared_provider()) == SignInRefusal.OPERATOR  # known by its subject by now
        assert refused(somebody(), operators_provider({})) == SignInRefusal.NO_OPERATOR
        assert refused(somebody(cast.alice.email), operators_provider({})) == SignInRefusal.NO_OPERATOR

    def test_the_operators_groups_alone_say_who_is_one(self, cast: Cast) -> None:
        group = unique("ops")
        provider = operators_provider({group: OperatorRole.BILLING})
        claims = somebody(groups=frozenset({group}))
        person = came_in(claims, provider)
        assert person.is_operator
        key = session(person, provider)
        assert sign_ins.open_sign_in(key)
        assert refused(replace(claims, groups=frozenset()), provider) == SignInRefusal.NO_OPERATOR
        assert Person.objects.filter(pk=person.pk, is_operator=False).exists()
        assert sign_ins.open_sign_in(key) is None
        assert came_in(claims, provider) == person
        # In more groups than the provider tells: nothing is taken away, and nobody comes in by what is not said.
        withheld = replace(claims, groups=frozenset(), groups_withheld=True)
        assert refused(withheld, provider) == SignInRefusal.NO_OPERATOR
        assert Person.objects.filter(pk=person.pk, is_operator=True).exists()
        member = somebody(cast.alice.email, groups=frozenset({group}))
        assert refused(member, provider) == SignInRefusal.MEMBER

    def test_an_address_that_went_to_somebody_new_opens_no_old_account(self) -> None:
        claims = somebody()
        came_in(claims, shared_provider())
        assert refused(somebody(claims.email), shared_provider()) == SignInRefusal.OTHER_ACCOUNT

    def test_a_person_switched_off_stays_out(self, cast: Cast) -> None:
        claims = somebody(cast.bob.email)
        came_in(claims, shared_provider())
        key = session(cast.bob)
        switch_person_off(cast.bob, actor=TESTS)
        assert refused(claims, shared_provider()) == SignInRefusal.SWITCHED_OFF
        assert sign_ins.open_sign_in(key) is None

    def test_a_name_that_we_do_not_show_keeps_nobody_out(self) -> None:
        assert came_in(somebody(name="a\u202eb"), shared_provider()).name == ""


class TestSessions:
    def test_a_tenants_provider_opens_that_tenant_only(self, cast: Cast) -> None:
        add_member(by=Caller.system("tests", cast.strangers), person=cast.bob, role=Role.AUDITOR)
        found = sign_ins.open_sign_in(session(cast.bob, own_provider(cast.tenant)))
        assert found
        assert list(access.tenants_of(found.person)) == [cast.tenant]
        assert access.caller_for_person(found.person, cast.tenant.slug).role == Role.DEVELOPER
        with pytest.raises(NotFound):
            access.caller_for_person(found.person, cast.strangers.slug)
        everywhere = sign_ins.open_sign_in(session(cast.bob, shared_provider()))
        assert everywhere
        assert set(access.tenants_of(everywhere.person)) == {cast.tenant, cast.strangers}

    def test_an_operators_session_through_another_door_does_not_count(self, cast: Cast) -> None:
        key = session(cast.bob, shared_provider())
        Person.objects.filter(pk=cast.bob.pk).update(is_operator=True)
        assert sign_ins.open_sign_in(key) is None

    def test_ends_are_exact(self, cast: Cast) -> None:
        provider, other = shared_provider(), own_provider(cast.tenant)
        claims = Claims(ISSUER, unique("sub"), sid=unique("sid"))
        again = Claims(ISSUER, claims.subject, sid=unique("sid"))
        keys = [session(cast.bob, provider, claims=claims), session(cast.bob, provider, claims=again)]
        elsewhere, alices = session(cast.bob, other, claims=claims), session(cast.alice, provider)

        def still_open() -> list[bool]:
            return [sign_ins.open_sign_in(key) is not None for key in (*keys, elsewhere, alices)]

        assert sign_ins.end_by_provider(provider, sid="", subject="", now=NOW) == 0
        assert sign_ins.end_by_provider(provider, sid=claims.sid, subject=claims.subject, now=NOW) == 1
        assert still_open() == [False, True, True, True]
        assert sign_ins.end_by_provider(provider, sid="", subject=claims.subject, now=NOW) == 1
        assert still_open() == [False, False, True, True]
        assert sign_ins.end_all(cast.bob, reason="tests", now=NOW) == 1
        assert still_open() == [False, False, False, True]

    def test_people_see_and_end_their_own_sessions_and_no_others(self, cast: Cast) -> None:
        key = session(cast.bob)
        [mine] = sign_ins.sessions_of(cast.bob)
        assert (mine.user_agent, str(mine.address)) == ("Firefox, Linux", "192.0.2.7")
        with pytest.raises(NotFound):
            sign_ins.end_session(cast.alice, mine.pk, now=NOW)
        sign_ins.end_session(cast.bob, mine.pk, now=NOW)
        assert sign_ins.open_sign_in(key) is None
        with pytest.raises(NotFound):
            sign_ins.end_session(cast.bob, mine.pk, now=NOW)

    def test_the_tenants_chain_tells_of_sign_ins_and_of_their_ends(self, cast: Cast) -> None:
        session(cast.bob)
        sign_ins.end_all(cast.bob, reason="tests", now=NOW)
        events = AuditEvent.objects.filter(tenant=cast.tenant, target_kind="sign_in").order_by("sequence")
        assert [event.action for event in events] == ["sign_in.begun", "sign_in.ended"]
        assert "192.0.2.7" not in str([event.detail for event in events])

    def test_last_seen_is_written_once_a_minute(
        self, cast: Cast, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        found = sign_ins.open_sign_in(session(cast.bob))
        assert found
        with django_assert_num_queries(0):
            sign_ins.mark_seen(found, NOW + timedelta(seconds=59))
        sign_ins.mark_seen(found, NOW + timedelta(seconds=60))
        found.refresh_from_db()
        assert found.last_seen_at == NOW + timedelta(seconds=60)


class TestGroups:
    def role_of(self, person: Person, tenant: Tenant) -> str | None:
        return Membership.objects.filter(person=person, tenant=tenant).values_list("role", flat=True).first()

    def test_memberships_follow_the_groups(self, cast: Cast) -> None:
        provider, alice = own_provider(cast.tenant), as_member(cast.alice, cast.tenant)
        group_rules.add_rule(by=alice, provider=provider, group="devs", role=Role.DEVELOPER)
        group_rules.add_rule(by=alice, provider=provider, group="money", role=Role.FINANCE)
        dora = make_person("dora")
        for groups, role in (
            ({"devs"}, "developer"),
            ({"money", "unknown"}, "finance"),
            ({"money", "devs"}, "developer"),
            (set(), None),
        ):
            group_rules.apply(dora, provider, frozenset(groups))
            assert self.role_of(dora, cast.tenant) == role
        added = AuditEvent.objects.filter(tenant=cast.tenant, action="member.added", target=str(dora.pseudonym))
        assert [event.actor for event in added] == ["group_rules"]

    def test_rules_may_be_about_projects(self, cast: Cast) -> None:
        provider, alice = shared_provider(), as_member(cast.alice, cast.tenant)
        atlas, boreas = (create_project(cast.tenant, name, actor=TESTS) for name in ("Atlas", "Boreas"))
        for group, project in ((unique("g"), atlas), (unique("g"), boreas)):
            group_rules.add_rule(by=alice, provider=provider, group=group, role=Role.DEVELOPER, projects=[project])
        groups = frozenset(rule.group for rule in group_rules.rules_of(cast.tenant))
        dora = with_an_address_of(cast.tenant)
        group_rules.apply(dora, provider, groups)
        assert as_member(dora, cast.tenant).project_ids == frozenset({atlas.pk, boreas.pk})
        group_rules.apply(dora, provider, frozenset(sorted(groups)[:1]))
        assert len(as_member(dora, cast.tenant).project_ids or ()) == 1

    def test_what_groups_did_not_give_they_do_not_take(self, cast: Cast) -> None:
        provider, other = own_provider(cast.tenant), shared_provider()
        group_rules.apply(cast.bob, provider, frozenset())
        assert self.role_of(cast.bob, cast.tenant) == "developer"
        alice = as_member(cast.alice, cast.tenant)
        group = unique("auditors")
        group_rules.add_rule(by=alice, provider=other, group=group, role=Role.AUDITOR)
        group_rules.apply(cast.bob, other, frozenset({group}))
        assert self.role_of(cast.bob, cast.tenant) == "developer"
        dora = with_an_address_of(cast.tenant)
        group_rules.apply(dora, other, frozenset({group}))
        group_rules.apply(dora, provider, frozenset())
        assert self.role_of(dora, cast.tenant) == "auditor"

    def test_I6_a_rule_about_the_shared_providers_groups_pulls_in_nobody_elses_people(self, cast: Cast) -> None:
        group, dora = unique("staff"), with_an_address_of(cast.tenant)
        charlie = as_member(cast.charlie, cast.strangers)
        group_rules.add_rule(by=charlie, provider=shared_provider(), group=group, role=Role.DEVELOPER)
        for person in (dora, make_person("nobodys")):
            group_rules.apply(person, shared_provider(), frozenset({group}))
            assert self.role_of(person, cast.strangers) is None
        theirs = with_an_address_of(cast.strangers)
        group_rules.apply(theirs, shared_provider(), frozenset({group}))
        assert self.role_of(theirs, cast.strangers) == "developer"

    def test_the_last_owner_stays_whatever_the_groups_say(self) -> None:
        tenant = make_tenant()
        system = Caller.system("tests", tenant)
        provider = own_provider(tenant)
        group_rules.add_rule(by=system, provider=provider, group="bosses", role=Role.OWNER)
        dora = make_person("dora")
        group_rules.apply(dora, provider, frozenset({"bosses"}))
        group_rules.apply(dora, provider, frozenset())
        assert self.role_of(dora, tenant) == "owner"
        assert AuditEvent.objects.filter(tenant=tenant, action="member.kept_as_last_owner").exists()

    def test_rules_are_written_by_who_may_and_about_ones_own(self, cast: Cast) -> None:
        provider, theirs = own_provider(cast.tenant), own_provider(cast.strangers)
        alice, bob = as_member(cast.alice, cast.tenant), as_member(cast.bob, cast.tenant)
        admin = as_member(make_person("adam", cast.tenant, Role.ADMINISTRATOR), cast.tenant)
        with pytest.raises(Forbidden):
            group_rules.add_rule(by=bob, provider=provider, group="g", role=Role.AUDITOR)
        with pytest.raises(Forbidden):
            group_rules.add_rule(by=admin, provider=provider, group="g", role=Role.OWNER)
        with pytest.raises(NotFound):
            group_rules.add_rule(by=alice, provider=theirs, group="g", role=Role.AUDITOR)
        rule = group_rules.add_rule(by=alice, provider=provider, group="g", role=Role.OWNER)
        with pytest.raises(Conflict):
            group_rules.add_rule(by=alice, provider=provider, group="g", role=Role.AUDITOR)
        with pytest.raises(NotFound):
            group_rules.remove_rule(by=as_member(cast.charlie, cast.strangers), rule_id=rule.pk)
        with pytest.raises(Forbidden):
            group_rules.remove_rule(by=admin, rule_id=rule.pk)
        group_rules.remove_rule(by=alice, rule_id=rule.pk)
        assert not group_rules.rules_of(cast.tenant).exists()


class TestRequests:
    def test_who_belongs_nowhere_asks_the_tenant_of_their_address(self, cast: Cast) -> None:
        domain = confirmed_domain(cast.tenant)
        dora = create_person(email=f"{unique('dora').lower()}@{domain}", actor=TESTS)
        assert access_requests.tenant_to_ask(dora) == cast.tenant
        assert access_requests.tenant_to_ask(dora, cast.strangers.slug) == cast.tenant
        first = access_requests.ask(person=dora, tenant=cast.tenant, message="I build\nthe portal")
        assert access_requests.ask(person=dora, tenant=cast.tenant) == first
        with pytest.raises(NotFound):
            access_requests.ask(person=dora, tenant=cast.strangers)

        alice = as_member(cast.alice, cast.tenant)
        assert list(access_requests.open_requests(alice)) == [first]
        with pytest.raises(Forbidden):
            access_requests.approve(
                by=as_member(cast.bob, cast.tenant), request_id=first.pk, role=Role.AUDITOR, now=NOW
            )
        access_requests.approve(by=alice, request_id=first.pk, role=Role.AUDITOR, now=NOW)
        assert as_member(dora, cast.tenant).role == Role.AUDITOR
        with pytest.raises(NotFound):
            access_requests.refuse(by=alice, request_id=first.pk, now=NOW)
        with pytest.raises(Conflict):
            access_requests.ask(person=dora, tenant=cast.tenant)

    def test_a_strangers_address_leads_nowhere(self, cast: Cast) -> None:
        assert access_requests.tenant_to_ask(make_person("dora"), cast.tenant.slug) is None


def test_a_session_ends_after_a_working_day_whatever_happens_meanwhile(cast: Cast) -> None:
    key = session(cast.bob)
    SignIn.objects.filter(person=cast.bob).update(began_at=NOW - sign_ins.LIFETIME, last_seen_at=NOW)
    assert sign_ins.open_sign_in(key) is None
    assert not sign_ins.sessions_of(cast.bob).exists()


def test_a_session_ends_when_its_person_did_nothing_for_an_hour(cast: Cast, settings: Settings) -> None:
    key = session(cast.bob)
    SignIn.objects.filter(person=cast.bob).update(last_seen_at=timezone.now() - timedelta(minutes=59))
    assert sign_ins.open_sign_in(key)
    SignIn.objects.filter(person=cast.bob).update(last_seen_at=timezone.now() - timedelta(minutes=61))
    assert sign_ins.open_sign_in(key) is None
    assert not sign_ins.sessions_of(cast.bob).exists()
    settings.SESSION_IDLE = timedelta(hours=2)
    assert sign_ins.open_sign_in(key)


def test_who_came_through_a_tenants_provider_ends_no_session_elsewhere(cast: Cast) -> None:
    everywhere, own = session(cast.bob, shared_provider()), session(cast.bob, own_provider(cast.tenant))
    found = sign_ins.open_sign_in(own)
    assert found
    assert sign_ins.sessions_of(found.person).count() == 1
    assert sign_ins.end_all(found.person, reason="tests", now=NOW) == 1
    assert sign_ins.open_sign_in(everywhere)


def test_who_came_through_a_tenants_provider_takes_no_data_of_other_tenants_along(cast: Cast) -> None:
    found = sign_ins.open_sign_in(session(cast.bob, own_provider(cast.tenant)))
    assert found
    assert export_person(found.person)["memberships"]
    add_member(by=Caller.system("tests", cast.strangers), person=cast.bob, role=Role.AUDITOR)
    with pytest.raises(Forbidden):
        export_person(found.person)
    everywhere = sign_ins.open_sign_in(session(cast.bob, shared_provider()))
    assert everywhere
    assert len(export_person(everywhere.person)["memberships"]) == 2

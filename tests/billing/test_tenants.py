"""Tenants as the operator sets them up: planned, made, changed, once however often it is asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.contracts.contracts import contract_in_force
from billing.contracts.tiers import PLATFORM_TIER
from billing.models import Scope as Holder
from billing.models import Tier
from billing.prices.price_book import load_prices
from billing.tenants.listed import tenant_by_external_id, tenants_for
from billing.tenants.tenants import Outcome, TenantWish, import_tenants, plan_tenants, put_tenant
from identity.access import Caller
from identity.audit import verify_chain
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.invitations import accept_invitations
from identity.members import add_member
from identity.models import (
    AuditEvent,
    IdentityProvider,
    Invitation,
    Membership,
    Notice,
    NoticeDelivery,
    OperatorRole,
    Role,
    Tenant,
)
from identity.operators import operator_for_person
from identity.tenants import reactivate_tenant, suspend_tenant
from tests.support.ledger import LedgerGateway, ledger_gateway, make_house, unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, make_operator, make_person, make_tenant

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def tiers(database: None) -> tuple[str, str]:
    """Two tiers, the second with a cap."""
    load_prices(actor=TESTS)
    limits = [{"what": "requests", "window": "minute", "amount": 1_000}]
    small = Tier.objects.create(code=unique("s")[:32], name="Small", limits=limits)
    large = Tier.objects.create(code=unique("l")[:32], name="Large", limits=limits, monthly_cap_nano_eur=10**12)
    return small.code, large.code


@pytest.fixture
def wish(tiers: tuple[str, str]) -> TenantWish:
    word = unique("Team")
    return TenantWish(external_id=word, name=f"The {word}", tier=tiers[0], owner=f"{word}@example.org")


@contextmanager
def nothing_made() -> Iterator[None]:
    before = Tenant.objects.count(), Invitation.objects.count(), AuditEvent.objects.filter(tenant=None).count()
    yield
    after = Tenant.objects.count(), Invitation.objects.count(), AuditEvent.objects.filter(tenant=None).count()
    assert after == before


def platform_actions(tenant: Tenant) -> list[str]:
    events = AuditEvent.objects.filter(tenant=None, target_kind="tenant", target=str(tenant.pk))
    return list(events.order_by("sequence").values_list("action", flat=True))


def test_a_tenant_is_made_whole_and_the_same_wish_again_does_nothing(wish: TenantWish) -> None:
    made = put_tenant(by=RUNS, wish=wish)
    assert (made.outcome, made.tenant is not None) == (Outcome.MADE, True)
    tenant = Tenant.objects.get(external_id=wish.external_id)
    assert (tenant.slug, tenant.name) == (wish.external_id.lower(), wish.name)
    contract = contract_in_force(tenant)
    assert contract is not None
    assert contract.tier.code == wish.tier
    assert tenant.projects.get().name == "Default"
    invitation = Invitation.objects.get(tenant=tenant)
    assert (invitation.email, invitation.role) == (wish.owner.lower(), Role.OWNER)
    assert Notice.objects.filter(tenant=tenant, kind="invitation.received").exists()
    with nothing_made():
        again = put_tenant(by=RUNS, wish=wish)
    assert (again.outcome, dict(again.changes)) == (Outcome.UNCHANGED, {})
    assert platform_actions(tenant) == ["tenant.created"]
    assert verify_chain(tenant).broken is None


def test_what_differs_is_changed_and_told(wish: TenantWish, tiers: tuple[str, str]) -> None:
    put_tenant(by=RUNS, wish=wish)
    changed = replace(wish, name="Another name", tier=tiers[1], time_zone="UTC", owner="next@example.org")
    [plan] = plan_tenants(by=RUNS, wishes=[changed])
    assert plan.changes == {
        "name": (wish.name, "Another name"),
        "tier": tiers,
        "time_zone": ("Europe/Paris", "UTC"),
        "owner": (wish.owner.lower(), "next@example.org"),
    }
    assert put_tenant(by=RUNS, wish=changed).outcome == Outcome.CHANGED
    tenant = Tenant.objects.get(external_id=wish.external_id)
    assert (tenant.name, tenant.time_zone) == ("Another name", "UTC")
    assert tenant_by_external_id(RUNS, wish.external_id).limit_nano_eur == 10**12
    waiting = Invitation.objects.filter(tenant=tenant, withdrawn_at=None)
    assert [invitation.email for invitation in waiting] == ["next@example.org"]
    assert put_tenant(by=RUNS, wish=changed).outcome == Outcome.UNCHANGED
    assert platform_actions(tenant) == ["tenant.created", "tenant.changed"]


def test_who_owns_it_decides_who_comes_in_later(wish: TenantWish) -> None:
    tenant = put_tenant(by=RUNS, wish=wish).tenant
    assert tenant is not None
    person = make_person("erin")
    add_member(by=Caller.system("tests", tenant), person=person, role=Role.OWNER)
    with nothing_made():
        plan = put_tenant(by=RUNS, wish=replace(wish, owner="somebody-else@example.org"))
    assert plan.outcome == Outcome.UNCHANGED
    assert Membership.objects.filter(tenant=tenant, role=Role.OWNER).count() == 1


def test_the_invited_owner_signs_in_and_owns_it(wish: TenantWish) -> None:
    tenant = put_tenant(by=RUNS, wish=wish).tenant
    assert tenant is not None
    person = make_person("erin")
    provider = IdentityProvider(audience=IdentityProvider.Audience.SHARED)
    accept_invitations(person=person, verified_email=wish.owner, through=provider, now=timezone.now())
    assert Membership.objects.get(tenant=tenant, person=person).role == Role.OWNER
    line = tenant_by_external_id(RUNS, wish.external_id)
    assert (line.owner, line.owner_is_invited) == (person.name, False)


def test_a_tenant_without_external_id_is_taken_over_by_its_slug(wish: TenantWish) -> None:
    older = make_tenant(wish.name)
    plan = put_tenant(by=RUNS, wish=replace(wish, slug=older.slug, owner=""))
    assert plan.tenant is not None
    assert plan.tenant.pk == older.pk
    assert plan.changes["external_id"] == ("", wish.external_id)
    with pytest.raises(Invalid, match="slug"):
        put_tenant(by=RUNS, wish=replace(wish, slug="another-slug"))


@pytest.mark.parametrize(
    ("member", "value", "refused"),
    [
        ("external_id", "no/slash", Invalid),
        ("name", " ", Invalid),
        ("tier", "no-such-tier", Invalid),
        ("owner", "nobody", Invalid),
        ("slug", "With Blanks", Invalid),
        ("time_zone", "Europe/Nowhere", Invalid),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(
    wish: TenantWish, member: str, value: str, refused: type[Exception]
) -> None:
    with nothing_made(), pytest.raises(refused, match=member):
        put_tenant(by=RUNS, wish=replace(wish, **{member: value}))  # type: ignore[arg-type]


def test_a_taken_slug_and_an_operator_as_owner_are_conflicts(wish: TenantWish) -> None:
    taken = make_tenant()
    Tenant.objects.filter(pk=taken.pk).update(external_id=unique("x"))
    with nothing_made(), pytest.raises(Conflict):
        put_tenant(by=RUNS, wish=replace(wish, slug=taken.slug))
    operator = make_operator()
    with pytest.raises(Conflict):
        put_tenant(by=RUNS, wish=replace(wish, owner=operator.email))


def test_only_who_may_makes_tenants_and_changes_contracts(wish: TenantWish, tiers: tuple[str, str]) -> None:
    platform = operator_for_person(make_operator(OperatorRole.PLATFORM))
    with pytest.raises(Forbidden):
        put_tenant(by=operator_for_person(make_operator(OperatorRole.SUPPORT)), wish=wish)
    assert put_tenant(by=platform, wish=wish).outcome == Outcome.MADE
    dearer = replace(wish, tier=tiers[1])
    with pytest.raises(Forbidden, match="contract:update"):
        put_tenant(by=platform, wish=dearer)
    assert "only a billing operator" in plan_tenants(by=platform, wishes=[dearer])[0].fault
    billing = operator_for_person(make_operator(OperatorRole.BILLING))
    assert put_tenant(by=billing, wish=dearer).outcome == Outcome.CHANGED


def test_of_an_import_nothing_is_made_while_a_line_is_wrong(wish: TenantWish) -> None:
    good = [replace(wish, external_id=f"{wish.external_id}-{number}", owner="") for number in range(3)]
    wrong = replace(wish, external_id=f"{wish.external_id}-9", tier="none")
    twice = [replace(good[0], name="Once more"), good[0]]
    with nothing_made():
        plans = import_tenants(by=RUNS, wishes=[*good[1:], wrong, *twice])
    assert [plan.outcome for plan in plans] == ["made", "made", "refused", "refused", "refused"]
    assert [bool(plan.fault) for plan in plans] == [False, False, True, True, True]
    done = import_tenants(by=RUNS, wishes=[*good, wrong], skip_refused=True)
    assert [plan.outcome for plan in done] == ["made", "made", "made", "refused"]
    assert [plan.outcome for plan in import_tenants(by=RUNS, wishes=good)] == ["unchanged"] * 3


def test_planning_many_takes_as_few_queries_as_planning_one(wish: TenantWish) -> None:
    wishes = [replace(wish, external_id=f"{wish.external_id}-{number}") for number in range(300)]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        plans = plan_tenants(by=RUNS, wishes=wishes)
    assert {plan.outcome for plan in plans} == {Outcome.MADE}
    assert len(queries) <= 8
    with pytest.raises(Invalid):
        plan_tenants(by=RUNS, wishes=wishes * 4)


def test_a_suspension_is_told_in_both_chains_and_to_the_people(wish: TenantWish) -> None:
    tenant = put_tenant(by=RUNS, wish=wish).tenant
    assert tenant is not None
    add_member(by=Caller.system("tests", tenant), person=make_person("erin"), role=Role.DEVELOPER)
    with pytest.raises(Forbidden):
        suspend_tenant(tenant, by=operator_for_person(make_operator(OperatorRole.SUPPORT)), reason="unpaid")
    assert suspend_tenant(tenant, by=RUNS, reason="unpaid since May")
    line = tenant_by_external_id(RUNS, wish.external_id)
    assert (line.is_suspended, line.suspended_reason, line.suspended_at is not None) == (True, "unpaid since May", True)
    assert not suspend_tenant(tenant, by=RUNS, reason="again")
    assert reactivate_tenant(tenant, by=RUNS, reason="paid")
    line = tenant_by_external_id(RUNS, wish.external_id)
    assert (line.is_suspended, line.suspended_reason, line.suspended_at) == (False, "", None)
    assert platform_actions(tenant) == ["tenant.created", "tenant.suspended", "tenant.reactivated"]
    told = NoticeDelivery.objects.filter(notice__tenant=tenant, notice__kind="tenant.suspended", channel="inbox")
    assert told.count() == 1


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def test_the_list_has_spend_cap_last_request_and_owner_in_one_query(gateway: LedgerGateway) -> None:
    house = make_house()
    word = unique("x")
    Tenant.objects.filter(pk=house.tenant.pk).update(external_id=word)
    house.budget(Holder.TENANT, house.tenant.pk, 10**9)
    owner = make_person("olive", house.tenant, Role.OWNER)
    gateway.complete(house, house.key().row)
    with CaptureQueriesContext(connection) as queries:
        [line] = tenants_for(RUNS, size=10, text=word.upper()).tenants
    assert len(queries) == 1
    assert (line.spent_nano_eur, line.limit_nano_eur, line.is_hard) == (45_000, 10**9, True)
    assert line.last_request_at is not None
    assert (line.owner, line.owner_is_invited) == (owner.name, False)


def test_the_list_goes_on_where_it_ended_and_filters() -> None:
    word = unique("row")
    tenants = [make_tenant(f"{word} {letter}") for letter in "bAc"]
    suspend_tenant(tenants[2], by=RUNS, reason="unpaid")
    first = tenants_for(RUNS, size=2, text=word)
    assert [line.name for line in first.tenants] == [f"{word} A", f"{word} b"]
    assert first.next is not None
    second = tenants_for(RUNS, size=2, text=word, after=first.next)
    assert ([line.name for line in second.tenants], second.next) == ([f"{word} c"], None)
    assert [line.name for line in tenants_for(RUNS, size=9, text=word, status="suspended").tenants] == [f"{word} c"]
    assert tenants_for(RUNS, size=9, text="no%such_tenant").tenants == []
    with pytest.raises(NotFound):
        tenant_by_external_id(RUNS, "nothing")


def test_the_platforms_own_account_is_nobodys_to_see_to_change_or_to_suspend(wish: TenantWish) -> None:
    account = make_tenant()
    Tenant.objects.filter(pk=account.pk).update(is_platform=True)
    account.refresh_from_db()
    assert not tenants_for(RUNS, size=9, text=account.slug).tenants
    with pytest.raises(Conflict):
        put_tenant(by=RUNS, wish=replace(wish, slug=account.slug))
    with pytest.raises(NotFound):
        suspend_tenant(account, by=RUNS, reason="unpaid")
    Tier.objects.get_or_create(code=PLATFORM_TIER, defaults={"name": "Platform"})
    with pytest.raises(Invalid):
        put_tenant(by=RUNS, wish=replace(wish, tier=PLATFORM_TIER))
    Tenant.objects.filter(pk=account.pk).update(is_platform=False)

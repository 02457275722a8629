"""What somebody with a directory, or a careless one, may try with names of groups; and an operator with rules."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from billing.tenants.changes import change_details
from billing.tenants.group_organisations import (
    GroupOutcome,
    make_at_sign_in,
    make_organisations,
    plan_groups,
)
from billing.tenants.organisation_rules import RuleWish, put_rule, remove_rule
from billing.tenants.tenants import TenantWish, put_tenant
from identity import group_rules
from identity.access import Caller
from identity.errors import Conflict, NotFound
from identity.group_feeds import begin_feeding, end_feeding, groups_feeding
from identity.members import add_member
from identity.models import (
    AuditEvent,
    GroupFeed,
    IdentityProvider,
    Membership,
    Notice,
    OperatorRole,
    OrganisationRule,
    Person,
    ProviderVersion,
    Role,
    Tenant,
)
from identity.operators import appoint_operator
from identity.projects import create_project
from identity.tenants import reactivate_tenant, suspend_tenant
from tests.support.group_rules import Directory, directory, fed, role_in, shared_provider
from tests.support.ledger import unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, as_member, make_operator, make_person, make_tenant

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def house(database: None) -> Iterator[Directory]:
    with directory() as house:
        yield house


@pytest.fixture
def word() -> str:
    return unique("w").lower().replace("_", "-")


@pytest.fixture
def dora() -> Person:
    return make_person("dora")


def stranger(house: Directory, word: str) -> Tenant:
    """An organisation that the operator set up otherwise, which happens to have this external id; erin owns it."""
    wish = TenantWish(external_id=word, name="Erin's", tier=house.tier, owner=f"erin-{word}@example.org")
    tenant = put_tenant(by=RUNS, wish=wish).tenant
    assert tenant is not None
    add_member(by=Caller.system("tests", tenant), person=make_person("erin"), role=Role.OWNER)
    return tenant


def use_own_provider(tenant: Tenant) -> None:
    provider = IdentityProvider.objects.create(audience=IdentityProvider.Audience.TENANT, tenant=tenant, name="Own")
    state = ProviderVersion.State.ACTIVE
    ProviderVersion.objects.create(
        provider=provider, state=state, issuer="https://own.example", client_id="c", sealed_secret=b"", groups_claim="g"
    )


def test_I6_a_group_named_like_another_organisation_opens_and_changes_nothing(
    house: Directory, word: str, dora: Person
) -> None:
    house.rule("*", Role.OWNER, name_pattern="Taken over *", time_zone="UTC")
    theirs = stranger(house, word)
    before = Tenant.objects.values().get(pk=theirs.pk)
    house.signs_in(dora, word)
    [plan] = make_organisations(by=RUNS, groups=[house.group(word)])
    assert (plan.outcome, plan.feedable_by) == (GroupOutcome.REFUSED, house.root)
    assert "not fed" in plan.fault
    assert role_in(dora, theirs) is None
    assert Tenant.objects.values().get(pk=theirs.pk) == before
    assert not GroupFeed.objects.filter(word=word).exists()


def test_I6_nor_does_one_named_like_its_address(house: Directory, word: str, dora: Person) -> None:
    """`put_tenant` lets an operator take a tenant over by its slug; a group must not."""
    house.rule("*", Role.OWNER)
    theirs = make_tenant()
    Tenant.objects.filter(pk=theirs.pk).update(slug=word)
    house.signs_in(dora, word, word.upper(), word.replace("-", "."))
    assert role_in(dora, theirs) is None
    theirs.refresh_from_db()
    assert theirs.external_id is None
    assert not Membership.objects.filter(person=dora).exists()


def test_I6_another_spelling_is_another_group(house: Directory, word: str, dora: Person) -> None:
    house.rule("*", Role.OWNER)
    house.signs_in(dora, word)
    mallory = make_person("mallory")
    spellings = [
        word.upper(),
        f"{word} ",
        f" {word}",
        f"{word}\u200b",
        f"{word}\n",
        f"./{word}",
        f"{word}/",
        f"{word}:",
    ]
    house.signs_in(mallory, *spellings)
    assert role_in(mallory, fed(word)) is None
    assert not Membership.objects.filter(person=mallory).exists()
    outcomes = plan_groups(by=RUNS, groups=[house.group(name) for name in spellings])
    assert {plan.outcome for plan in outcomes} == {GroupOutcome.REFUSED}


def test_I6_nobody_becomes_an_operator_and_no_operator_a_member(house: Directory, word: str, dora: Person) -> None:
    house.rule("*", Role.OWNER)
    with pytest.raises(ValueError, match="platform"):
        put_rule(by=RUNS, code="x", wish=RuleWish(pattern="llm-*", role="platform"))  # type: ignore[arg-type]
    house.signs_in(dora, word, "é-operators", f"{word}-operators", f"{word}-admin")
    dora.refresh_from_db()
    assert not dora.is_operator
    olga = make_operator()
    house.signs_in(olga, word)
    assert role_in(olga, fed(word)) is None


def test_I6_the_platforms_own_account_is_never_fed(house: Directory, word: str, dora: Person) -> None:
    rule, ours = house.rule("*", Role.OWNER), make_tenant()
    Tenant.objects.filter(pk=ours.pk).update(is_platform=True, external_id=word)
    try:
        with pytest.raises(NotFound):
            begin_feeding(by=RUNS, tenant=ours, rule=house.root)
        GroupFeed.objects.create(tenant=ours, word=word, rule=rule, gives_administrators=True)
        house.signs_in(dora, word)
        assert role_in(dora, ours) is None
    finally:
        Tenant.objects.filter(pk=ours.pk).update(is_platform=False)


def test_I6_an_organisation_that_is_chosen_keeps_the_say_over_its_owners(
    house: Directory, word: str, dora: Person
) -> None:
    house.rule("*")
    house.rule("*-owners", Role.OWNER, makes=False)
    theirs = stranger(house, word)
    assert begin_feeding(by=RUNS, tenant=theirs, rule=house.root)
    assert not begin_feeding(by=RUNS, tenant=theirs, rule=house.root)
    assert Notice.objects.filter(tenant=theirs, kind="group_feed.started").exists()
    assert AuditEvent.objects.filter(tenant=theirs, action="group_feed.started").count() == 1
    house.signs_in(dora, f"{word}-owners")
    assert role_in(dora, theirs) is None
    house.signs_in(dora, word, f"{word}-owners")
    assert role_in(dora, theirs) == "developer"
    assert groups_feeding(theirs) == [(house.group(word), Role.DEVELOPER)]
    assert end_feeding(by=RUNS, tenant=theirs)
    assert not end_feeding(by=RUNS, tenant=theirs)
    house.signs_in(dora, word, f"{word}-owners")
    assert role_in(dora, theirs) is None


def test_one_that_nobody_owns_yet_may_get_owners_so(house: Directory, word: str, dora: Person) -> None:
    house.rule("*", Role.OWNER, makes=False)
    wish = TenantWish(external_id=word, name="Water works", tier=house.tier)
    tenant = put_tenant(by=RUNS, wish=wish).tenant
    assert tenant is not None
    begin_feeding(by=RUNS, tenant=tenant, rule=house.root)
    house.signs_in(dora, word)
    assert role_in(dora, tenant) == "owner"
    house.rule("*", Role.OWNER, makes=True)
    house.signs_in(dora, word)
    tenant.refresh_from_db()
    assert tenant.name == "Water works"


def test_I6_a_provider_of_its_own_closes_this_door(house: Directory, word: str, dora: Person) -> None:
    house.rule("*")
    house.signs_in(dora, word)
    tenant = fed(word)
    use_own_provider(tenant)
    newcomer = make_person("frank")
    house.signs_in(newcomer, word)
    assert role_in(newcomer, tenant) is None
    house.signs_in(dora, word)
    assert role_in(dora, tenant) is None
    theirs = stranger(house, f"{word}x")
    use_own_provider(theirs)
    with pytest.raises(Conflict, match="provider of its own"):
        begin_feeding(by=RUNS, tenant=theirs, rule=house.root)


def test_in_a_suspended_one_nobody_gets_in_or_gets_more(house: Directory, word: str, dora: Person) -> None:
    house.rule("*")
    house.rule("*-owners", Role.OWNER, makes=False)
    house.rule("*-audit", Role.AUDITOR, makes=False)
    frank, grace = make_person("frank"), make_person("grace")
    house.signs_in(dora, word)
    house.signs_in(grace, f"{word}-owners")
    tenant = fed(word)
    suspend_tenant(tenant, by=RUNS, reason="Unpaid")
    house.signs_in(frank, word)
    assert role_in(frank, tenant) is None
    house.signs_in(dora, word, f"{word}-owners")
    assert role_in(dora, tenant) == "developer"
    [plan] = plan_groups(by=RUNS, groups=[house.group(word)])
    assert "suspended" in plan.fault
    house.signs_in(dora)
    assert role_in(dora, tenant) is None
    reactivate_tenant(tenant, by=RUNS, reason="Paid")
    house.signs_in(frank, word, f"{word}-owners")
    house.signs_in(grace, word)
    assert (role_in(frank, tenant), role_in(grace, tenant)) == ("owner", "developer")


def test_only_the_shared_providers_groups_count(house: Directory, word: str, dora: Person) -> None:
    house.rule("*", Role.OWNER)
    tenant = make_tenant()
    own = IdentityProvider.objects.create(audience=IdentityProvider.Audience.TENANT, tenant=tenant, name="Own")
    operators = IdentityProvider(audience=IdentityProvider.Audience.OPERATORS, name="Operators")
    groups = frozenset({house.group(word)})
    for provider in (own, operators):
        make_at_sign_in(provider, groups)
    assert not Tenant.objects.filter(external_id=word).exists()
    make_at_sign_in(shared_provider(), groups)
    audience = IdentityProvider.Audience.OPERATORS
    operators, _is_new = IdentityProvider.objects.get_or_create(audience=audience, defaults={"name": "Operators"})
    for provider in (own, operators):
        group_rules.apply(dora, provider, groups)
        assert role_in(dora, fed(word)) is None


def test_a_directory_that_runs_away_is_stopped_and_operators_hear_of_it_once(
    house: Directory, word: str, dora: Person
) -> None:
    rule = house.rule("*", made_max=3)
    words = [f"{word}-{number}" for number in range(5)]
    for each in words:
        house.signs_in(dora, each)
    assert GroupFeed.objects.filter(rule=rule).count() == 3
    assert not Tenant.objects.filter(external_id=words[4]).exists()
    told = Notice.objects.filter(kind="organisation_rule.full", context__pattern=rule.pattern)
    assert told.count() == 1
    plans = make_organisations(by=RUNS, groups=[house.group(each) for each in words])
    assert [plan.outcome for plan in plans] == [GroupOutcome.THERE] * 3 + [GroupOutcome.REFUSED] * 2
    house.rule("*", made_max=4)
    house.signs_in(dora, *words[3:])
    assert GroupFeed.objects.filter(rule=rule).count() == 4
    assert told.count() == 2


def test_the_cap_holds_though_all_come_at_the_same_instant(house: Directory, word: str) -> None:
    rule, people = house.rule("*", made_max=2), [make_person(f"p{number}") for number in range(6)]
    together = Barrier(len(people))

    def arrive(number: int) -> None:
        together.wait(10)
        try:
            house.signs_in(people[number], f"{word}-{number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(arrive, range(len(people))))
    assert GroupFeed.objects.filter(rule=rule).count() == 2


def test_a_sign_in_makes_only_so_many(house: Directory, word: str, dora: Person) -> None:
    rule = house.rule("*")
    house.signs_in(dora, *(f"{word}-{number}" for number in range(14)))
    assert GroupFeed.objects.filter(rule=rule).count() == 10


def test_what_hinders_making_keeps_nobody_out(house: Directory, word: str, dora: Person) -> None:
    rule = house.rule("*")
    OrganisationRule.objects.filter(pk=rule.pk).update(tier="gone")
    house.signs_in(dora, word)
    [plan] = plan_groups(by=RUNS, groups=[house.group(word)])
    assert plan.fault.startswith("tier:")


def test_an_external_id_that_moves_moves_nobody(house: Directory, word: str, dora: Person) -> None:
    house.rule("*", Role.OWNER)
    house.signs_in(dora, word)
    tenant = fed(word)
    change_details(by=RUNS, tenant=tenant, name="N", time_zone="UTC", external_id=f"{word}-before")
    theirs = make_tenant()
    change_details(by=RUNS, tenant=theirs, name="N", time_zone="UTC", external_id=word)
    house.signs_in(dora, word)
    assert (role_in(dora, tenant), role_in(dora, theirs)) == ("owner", None)
    with pytest.raises(Conflict, match="another organisation"):
        begin_feeding(by=RUNS, tenant=theirs, rule=house.root)


def test_I6_a_confined_rule_of_the_tenant_does_not_narrow_or_widen_into_others(
    house: Directory, word: str, dora: Person
) -> None:
    house.rule("*", Role.FINANCE)
    house.signs_in(dora, word)
    tenant = fed(word)
    project = create_project(tenant, "Second", actor=TESTS)
    us, group = Caller.system("tests", tenant), house.group("x_devs")
    group_rules.add_rule(by=us, provider=shared_provider(), group=group, role=Role.DEVELOPER, projects=[project])
    house.rule("x_*", makes=False)
    house.signs_in(dora, word, "x_devs")
    assert as_member(dora, tenant).project_ids == frozenset({project.pk})


def test_an_operator_does_not_lose_their_role_by_groups(house: Directory, word: str) -> None:
    house.rule("*", Role.OWNER)
    person = make_person("dora")
    house.signs_in(person, word)
    with pytest.raises(Conflict):
        appoint_operator(person, OperatorRole.PLATFORM, actor=TESTS)


def test_I6_two_houses_behind_one_provider_never_meet(house: Directory, word: str, dora: Person) -> None:
    """Both have a department of this name: whoever comes first, the other's people are not let in."""
    house.rule("*", Role.OWNER)
    with directory() as other:
        other.rule("*", Role.OWNER)
        other.rule("*-owners", Role.OWNER, makes=False)
        other.rule("x*", Role.OWNER, makes=False, joins="")
        house.signs_in(dora, word)
        mallory = make_person("mallory")
        other.signs_in(mallory, word, f"{word}-owners", f"x{word}")
        assert role_in(mallory, fed(word)) is None
        assert not Membership.objects.filter(person=mallory).exists()
        [plan] = plan_groups(by=RUNS, groups=[other.group(word)])
        assert "another rule feeds it" in plan.fault
        with pytest.raises(Conflict, match="another rule"):
            begin_feeding(by=RUNS, tenant=fed(word), rule=other.root)
        other.rule("*", Role.OWNER, id_pattern="other-*", name_pattern="Other *")
        other.signs_in(mallory, word, f"{word}-owners")
        theirs = fed(f"other-{word}")
        assert (theirs.external_id, theirs.name.startswith("Other W")) == (f"other-{word}", True)
        assert (role_in(mallory, theirs), role_in(mallory, fed(word))) == ("owner", None)


def test_I6_both_at_once_in_one_list_never_meet(house: Directory, word: str) -> None:
    house.rule("*")
    with directory() as other:
        other.rule("*")
        plans = make_organisations(by=RUNS, groups=[house.group(word), other.group(word)])
        assert sorted(plan.outcome for plan in plans) == [GroupOutcome.MADE, GroupOutcome.REFUSED]


def test_I6_what_a_rule_left_is_nobodys_until_it_is_chosen_again(house: Directory, word: str, dora: Person) -> None:
    rule = house.rule("*", Role.OWNER)
    house.signs_in(dora, word)
    tenant = fed(word)
    remove_rule(by=RUNS, code=rule.code)
    with directory() as other:
        other.rule("*", Role.DEVELOPER)
        other.signs_in(dora, word)
        frank = make_person("frank")
        other.signs_in(frank, word)
        assert role_in(frank, tenant) is None
        [plan] = plan_groups(by=RUNS, groups=[other.group(word)])
        assert plan.feedable_by == other.root
        assert begin_feeding(by=RUNS, tenant=tenant, rule=other.root)
        other.signs_in(frank, word)
        assert role_in(frank, tenant) == "developer"

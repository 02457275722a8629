"""Organisations out of names of groups: at a sign-in, from a list, and the rules that say so."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.contracts.contracts import contract_in_force
from billing.tenants.group_organisations import (
    GroupOutcome,
    make_organisations,
    plan_groups,
    read_groups,
)
from billing.tenants.organisation_rules import RULES_MAX, RuleWish, members_at_most, put_rule, remove_rule
from identity import email_domains, group_rules
from identity.access import Caller
from identity.api_keys import mint_api_key
from identity.audit import verify_chain
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.group_feeds import begin_feeding, end_feeding
from identity.key_policy import KeyPolicy
from identity.members import add_member
from identity.models import (
    AuditEvent,
    GroupFeed,
    OperatorRole,
    OrganisationRule,
    Person,
    Role,
    Tenant,
)
from identity.operators import operator_for_person
from identity.scopes import Scope
from tests.support.group_rules import Directory, directory, fed, role_in, shared_provider
from tests.support.ledger import unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, as_member, default_project, make_operator, make_person, make_tenant

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


class TestSigningIn:
    def test_the_first_of_a_department_makes_it_and_the_next_finds_it(
        self, house: Directory, word: str, dora: Person
    ) -> None:
        house.rule("*", name_pattern="Department *", time_zone="Europe/Madrid")
        house.rule("*-owners", Role.OWNER, makes=False)
        house.signs_in(dora, word)
        tenant = fed(word)
        assert (tenant.external_id, tenant.slug, tenant.time_zone) == (word, word, "Europe/Madrid")
        assert tenant.name.startswith("Department W")
        contract = contract_in_force(tenant)
        assert contract is not None
        assert contract.tier.code == house.tier
        assert role_in(dora, tenant) == "developer"
        boss = make_person("frank")
        house.signs_in(boss, f"{word}-owners")
        assert role_in(boss, tenant) == "owner"
        both = make_person("grace")
        house.signs_in(both, word, f"{word}-owners", f"{word}2")
        assert (role_in(both, tenant), role_in(both, fed(f"{word}2"))) == ("owner", "developer")
        actions = AuditEvent.objects.filter(tenant=tenant).order_by("sequence").values_list("action", flat=True)
        assert list(actions[:2]) == ["tenant.created", "contract.started"]
        assert "group_feed.started" in actions
        assert verify_chain(tenant).broken is None

    def test_a_rule_that_only_maps_makes_nothing(self, house: Directory, word: str, dora: Person) -> None:
        house.rule("*", makes=False)
        house.signs_in(dora, word)
        assert not Tenant.objects.filter(external_id=word).exists()

    def test_the_role_follows_the_groups_and_goes_with_them_and_so_do_keys(
        self, house: Directory, word: str, dora: Person
    ) -> None:
        house.rule("*")
        house.rule("*-money", Role.FINANCE, makes=False)
        house.signs_in(dora, word, f"{word}-money")
        tenant = fed(word)
        key, _text = mint_api_key(
            maker=as_member(dora, tenant),
            project=default_project(tenant),
            name="k",
            policy=KeyPolicy(frozenset({Scope.INFERENCE}), (), (), (), None),
            owner=dora,
        )
        house.signs_in(dora, f"{word}-money")
        assert role_in(dora, tenant) == "finance"
        house.signs_in(dora)
        assert role_in(dora, tenant) is None
        key.refresh_from_db()
        assert key.revoked_at is not None

    def test_a_removed_rule_gives_nothing_at_the_next_sign_in(self, house: Directory, word: str, dora: Person) -> None:
        rule = house.rule("*")
        house.signs_in(dora, word)
        tenant = fed(word)
        assert members_at_most("developer") >= 1
        remove_rule(by=RUNS, code=rule.code)
        house.signs_in(dora, word)
        assert role_in(dora, tenant) is None
        assert Tenant.objects.filter(pk=tenant.pk).exists()

    def test_the_last_owner_stays(self, house: Directory, word: str, dora: Person) -> None:
        house.rule("*", Role.OWNER)
        house.signs_in(dora, word)
        house.signs_in(dora)
        assert role_in(dora, fed(word)) == "owner"
        second = make_person("frank")
        house.signs_in(second, word)
        house.signs_in(dora)
        assert role_in(dora, fed(word)) is None

    def test_who_was_invited_keeps_what_the_invitation_gave(self, house: Directory, word: str, dora: Person) -> None:
        house.rule("*")
        house.signs_in(dora, word)
        guest = make_person("frank")
        add_member(by=Caller.system("tests", fed(word)), person=guest, role=Role.AUDITOR)
        house.signs_in(guest, word)
        assert role_in(guest, fed(word)) == "auditor"
        house.signs_in(guest)
        assert role_in(guest, fed(word)) == "auditor"

    def test_the_tenants_own_rules_add_to_it_for_its_people_alone(
        self, house: Directory, word: str, dora: Person
    ) -> None:
        house.rule("*")
        house.signs_in(dora, word)
        tenant = fed(word)
        us = Caller.system("tests", tenant)
        group_rules.add_rule(by=us, provider=shared_provider(), group=house.group("x-admins"), role=Role.ADMINISTRATOR)
        house.rule("x-*", makes=False)  # says that the group is no organisation
        house.signs_in(dora, word, "x-admins")
        assert role_in(dora, tenant) == "administrator"
        somebody = make_person("frank")
        house.signs_in(somebody, "x-admins")
        assert role_in(somebody, tenant) is None
        house.signs_in(dora, "x-admins")  # out of the department: the tenant's own rule does not keep her in
        assert role_in(dora, tenant) is None

    def test_a_confirmed_domain_lets_in_as_before(self, house: Directory, word: str, dora: Person) -> None:
        house.rule("*")
        house.signs_in(dora, word)
        tenant, domain = fed(word), f"{word}.example"
        email_domains.confirm_domain(tenant, domain, actor=TESTS)
        frank = make_person("frank")
        Person.objects.filter(pk=frank.pk).update(email=f"{word}@{domain}")
        frank.refresh_from_db()
        us, group = Caller.system("tests", tenant), unique("staff")
        group_rules.add_rule(by=us, provider=shared_provider(), group=group, role=Role.FINANCE)
        for _ in range(2):
            group_rules.apply(frank, shared_provider(), frozenset({group}))
            assert role_in(frank, tenant) == "finance"

    def test_who_has_nothing_new_takes_few_queries(self, house: Directory, word: str, dora: Person) -> None:
        house.rule("*")
        house.signs_in(dora, word)
        with CaptureQueriesContext(connection) as queries:
            house.signs_in(dora, word)
        assert len(queries) <= 12, [query["sql"][:100] for query in queries]

    def test_two_of_a_new_department_at_the_same_instant_make_one(self, house: Directory, word: str) -> None:
        rule, people = house.rule("*"), [make_person(f"p{number}") for number in range(6)]
        together = Barrier(len(people))

        def arrive(person: Person) -> None:
            together.wait(10)
            try:
                house.signs_in(person, word)
            finally:
                connection.close()

        with ThreadPoolExecutor(len(people)) as pool:
            list(pool.map(arrive, people))
        tenant = Tenant.objects.get(external_id=word)
        assert GroupFeed.objects.filter(rule=rule).count() == 1
        assert {role_in(person, tenant) for person in people} == {"developer"}
        assert verify_chain(tenant).broken is None


class TestLists:
    def test_a_list_is_looked_at_then_made_then_there(self, house: Directory, word: str) -> None:
        rule = house.rule("*")
        house.rule("*-owners", Role.OWNER, makes=False)
        names = [f"{word}-owners", word, f"{word}2", "é", f"{word}3-owners"]
        groups = [house.group(name) for name in names] + ["elsewhere", house.group(word)]
        planned = plan_groups(by=RUNS, groups=groups)
        outcomes = [plan.outcome.value for plan in planned]
        assert outcomes == ["made", "made", "made", "refused", "refused", "ignored"]
        assert not Tenant.objects.filter(external_id__startswith=word).exists()
        done = make_organisations(by=RUNS, groups=groups)
        assert [plan.outcome.value for plan in done] == outcomes
        assert {feed.word for feed in GroupFeed.objects.filter(rule=rule)} == {word, f"{word}2"}
        again = make_organisations(by=RUNS, groups=groups)
        assert [plan.outcome.value for plan in again] == ["there", "there", "there", "refused", "refused", "ignored"]
        [role] = {plan.rule.role for plan in again if plan.rule and plan.group.endswith("-owners")}
        assert role == "owner"

    def test_two_spellings_of_one_address_are_both_refused(self, house: Directory, word: str) -> None:
        house.rule("*")
        plans = plan_groups(by=RUNS, groups=[house.group(word), house.group(word.upper())])
        assert [plan.outcome for plan in plans] == [GroupOutcome.REFUSED] * 2

    def test_it_takes_who_may_make_organisations_and_a_list_that_somebody_can_read(self, house: Directory) -> None:
        weak = operator_for_person(make_operator(OperatorRole.SUPPORT))
        tenant = make_tenant()
        for verb in (
            lambda: plan_groups(by=weak, groups=[]),
            lambda: make_organisations(by=weak, groups=[]),
            lambda: put_rule(by=weak, code="x", wish=RuleWish(pattern="llm-*", role=Role.OWNER)),
            lambda: remove_rule(by=weak, code="x"),
            lambda: begin_feeding(by=weak, tenant=tenant, rule=house.root),
            lambda: end_feeding(by=weak, tenant=tenant),
        ):
            with pytest.raises(Forbidden):
                verb()
        with pytest.raises(Invalid, match="groups"):
            plan_groups(by=RUNS, groups=[f"g{number}" for number in range(1_001)])
        [plan] = plan_groups(by=RUNS, groups=[house.group("x" * 300)])
        assert plan.outcome == GroupOutcome.IGNORED

    def test_names_come_a_line_or_in_the_first_column(self) -> None:
        assert read_groups("\ufeffllm-a\r\n\n  llm-b \n\"llm-c\";12\nllm-d,x\nllm-e\ty") == [
            "llm-a", "llm-b", "llm-c", "llm-d", "llm-e",
        ]  # fmt: skip


class TestRules:
    def test_the_same_again_changes_nothing_and_every_change_is_told(self, house: Directory) -> None:
        rule = house.rule("*")
        same = house.rule("*")
        assert same.pk == rule.pk
        house.rule("*", Role.AUDITOR)
        remove_rule(by=RUNS, code=rule.code)
        with pytest.raises(NotFound):
            remove_rule(by=RUNS, code=rule.code)
        told = AuditEvent.objects.filter(tenant=None, target_kind="organisation_rule", target=rule.code)
        assert list(told.order_by("sequence").values_list("action", flat=True)) == [
            "organisation_rule.added", "organisation_rule.changed", "organisation_rule.removed",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("wish", "field"),
        [
            ({"pattern": "*"}, "pattern"),
            ({"pattern": "llm-*-*"}, "pattern"),
            ({"tier": "none-such"}, "tier"),
            ({"tier": ""}, "tier"),
            ({"time_zone": "Mars"}, "time_zone"),
            ({"name_pattern": "The same for all"}, "name_pattern"),
            ({"name_pattern": "x" * 120 + "*"}, "name_pattern"),
            ({"id_pattern": "the-same"}, "id_pattern"),
            ({"id_pattern": "a/*"}, "id_pattern"),
            ({"joins": "nobody", "makes": False}, "joins"),
            ({"joins": "x", "makes": False}, "joins"),
            ({"joins": "y"}, "makes"),
            ({"made_max": 0}, "made_max"),
            ({"made_max": 10**6}, "made_max"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, house: Directory, wish: dict[str, object], field: str) -> None:
        values = {"pattern": house.group("*"), "role": Role.OWNER, "makes": True, "tier": house.tier} | wish
        with pytest.raises(Invalid) as refused:
            put_rule(by=RUNS, code="x", wish=RuleWish(**values))  # type: ignore[arg-type]
        assert refused.value.field == field

    def test_families_have_one_that_others_join(self, house: Directory) -> None:
        root, joining = house.rule("*"), house.rule("*-owners", Role.OWNER, makes=False)
        assert joining.joins == root.code
        with pytest.raises(Invalid, match="joins"):
            house.rule("*-money", Role.FINANCE, makes=False, joins=joining.code)
        with pytest.raises(Conflict, match="cannot join"):
            house.rule("*", makes=False, joins=house.rule("x-*", makes=False, joins="").code)
        with pytest.raises(Conflict, match="remove those first"):
            remove_rule(by=RUNS, code=root.code)

    def test_there_are_few_and_each_pattern_once(self, house: Directory) -> None:
        house.rule("*")
        wish = RuleWish(pattern=house.group("*"), role=Role.OWNER)
        with pytest.raises(Conflict, match="another rule"):
            put_rule(by=RUNS, code=f"{house.prefix}-twin", wish=wish)
        for number in range(RULES_MAX - OrganisationRule.objects.count()):
            house.rule(f"{number}*", makes=False)
        with pytest.raises(Conflict, match="already"):
            house.rule("one-more-*", makes=False)

"""Somebody answers for a budget: a member who sees what it is on. They are told what it tells, and hand it over."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from billing.limits.alerts import tell_reached_budgets
from billing.limits.budget_duties import choose_responsible, people_to_choose
from billing.limits.budget_raises import raise_budget, tell_of_ended_raises
from billing.limits.budgets import change_limit, remove_budget, set_budget
from billing.limits.places import Holder
from billing.models import Budget, BudgetRaise
from identity.access import caller_for_person
from identity.budget_duties import people_answering
from identity.erasure import erase_person
from identity.errors import Conflict, Invalid
from identity.members import add_member, change_member, remove_member
from identity.models import ApiKey, AuditEvent, BudgetDuty, Person, Project, Role
from identity.notices import inbox
from tests.support.ledger import House, LedgerGateway, house_of, ledger_gateway
from tests.support.people import TESTS, Cast, as_member, make_cast, make_person

A_CHAT_COSTS = 45_000
EUR = 10**9


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


@pytest.fixture
def cast(database: None) -> Cast:
    return make_cast()


@pytest.fixture
def house(cast: Cast) -> House:
    return house_of(cast.tenant)


def budget_on(holder: Holder) -> Budget:
    return set_budget(on=holder, period="month", limit_nano_eur=EUR, actor=TESTS)


def give(budget: Budget, person: Person | None) -> bool:
    return choose_responsible(budget=budget, person=person, actor=TESTS)


def answering(budget: Budget) -> Person | None:
    return people_answering([budget.pk]).get(budget.pk)


def told(person: Person) -> list[str]:
    return [entry.notice.kind for entry in inbox(person) if entry.notice.kind.startswith("budget.")]


def auditor_of(cast: Cast, projects: list[Project] | None = None) -> Person:
    """A member whose role is told of no budget."""
    dora = make_person("dora")
    add_member(by=as_member(cast.alice, cast.tenant), person=dora, role=Role.AUDITOR, projects=projects)
    return dora


def test_who_answers_is_told_whatever_the_role_and_beside_those_who_are_told_anyway(
    gateway: LedgerGateway, cast: Cast, house: House
) -> None:
    dora = auditor_of(cast)
    key = house.key().row
    budget = budget_on(cast.tenant)
    gateway.complete(house, key)
    give(budget, dora)
    change_limit(budget=budget, limit_nano_eur=A_CHAT_COSTS, actor=TESTS)
    tell_reached_budgets()
    assert (told(dora), told(cast.alice)) == (["budget.exhausted"], ["budget.exhausted"])


def test_of_a_keys_budget_only_who_answers_for_it_is_told(gateway: LedgerGateway, cast: Cast, house: House) -> None:
    key = house.key().row
    budget = budget_on(key)
    gateway.complete(house, key)
    change_limit(budget=budget, limit_nano_eur=A_CHAT_COSTS + 1_000, actor=TESTS)
    tell_reached_budgets()
    assert told(cast.bob) == told(cast.alice) == []
    give(budget, cast.bob)
    tell_reached_budgets()
    assert (told(cast.bob), told(cast.alice)) == (["budget.reached"], [])
    gateway.refuse(house, house.key().row, "insufficient_quota", "budget/month/key")  # of another key
    tell_reached_budgets()
    assert told(cast.bob) == ["budget.reached"]
    gateway.refuse(house, key, "insufficient_quota", "budget/month/key")
    tell_reached_budgets()
    assert told(cast.bob) == ["budget.exhausted", "budget.reached"]


def test_the_end_of_a_raise_is_told_to_who_answers(gateway: LedgerGateway, cast: Cast) -> None:
    budget = budget_on(cast.project)
    give(budget, cast.bob)
    made = raise_budget(budget=budget, limit_nano_eur=2 * EUR, until=timezone.now() + timedelta(days=7), actor=TESTS)
    BudgetRaise.objects.filter(pk=made.pk).update(raised_until=made.made_at)
    while gateway.connection.execute("select end_raise_v1()").fetchone() == (True,):
        pass
    tell_of_ended_raises()
    assert (told(cast.bob), told(cast.alice)) == (["budget.raise_ended"], ["budget.raise_ended"])


def test_only_a_member_who_sees_what_it_is_on_answers(cast: Cast, house: House) -> None:
    second = house.project_called("Second")
    dora = auditor_of(cast, [second])
    alice = caller_for_person(cast.alice, cast.tenant.slug)
    here, there, whole = budget_on(cast.project), budget_on(second), budget_on(cast.tenant)
    its_key = budget_on(house.key(project=second).row)
    for budget, person in ((here, dora), (whole, dora), (here, cast.charlie), (its_key, cast.charlie)):
        with pytest.raises(Invalid, match="responsible"):
            give(budget, person)
        assert person not in people_to_choose(alice, budget)
    for budget in (there, its_key):
        assert dora in people_to_choose(alice, budget)
        assert give(budget, dora)
        assert answering(budget) == dora
    change_member(by=alice, person=dora, role=Role.AUDITOR, projects=[cast.project])
    assert answering(there) is answering(its_key) is None
    change_member(by=alice, person=dora, role=Role.AUDITOR, projects=[second])
    assert answering(its_key) == dora
    ApiKey.objects.filter(pk=its_key.scope_id).update(project=cast.project)  # what `move_keys` does
    assert answering(its_key) is None


def test_who_leaves_hands_over_and_an_heir_who_may_not_see_it_is_refused(cast: Cast, house: House) -> None:
    second = house.project_called("Second")
    dora, alice = auditor_of(cast, [second]), as_member(cast.alice, cast.tenant)
    budget = budget_on(cast.project)
    give(budget, cast.bob)
    with pytest.raises(Invalid, match="responsible"):
        remove_member(by=alice, person=cast.bob, heir=dora)
    assert answering(budget) == cast.bob
    remove_member(by=alice, person=cast.bob, heir=cast.alice)
    assert answering(budget) == cast.alice
    moved = AuditEvent.objects.get(tenant=cast.tenant, action="budget.handed_over", target=str(budget.pk))
    assert moved.detail["before"] == {"responsible": str(cast.bob.pseudonym)}
    assert moved.detail["after"] == {"responsible": str(cast.alice.pseudonym)}
    left = AuditEvent.objects.get(tenant=cast.tenant, action="member.removed")
    assert (left.detail["budgets_handed_over"], left.detail["budgets_left"]) == (1, 0)


def test_without_an_heir_nobody_answers_and_coming_back_brings_nothing_back(cast: Cast) -> None:
    budget, alice = budget_on(cast.project), as_member(cast.alice, cast.tenant)
    give(budget, cast.bob)
    remove_member(by=alice, person=cast.bob)
    add_member(by=alice, person=cast.bob, role=Role.DEVELOPER)
    assert answering(budget) is None
    removed = AuditEvent.objects.get(tenant=cast.tenant, action="member.removed")
    assert removed.detail["budgets_left"] == 1


def test_the_choice_is_audited_once_and_ends_with_the_budget_or_the_person(cast: Cast) -> None:
    budget = budget_on(cast.project)
    assert give(budget, cast.bob)
    assert not give(budget, cast.bob)
    assert give(budget, cast.alice)
    events = AuditEvent.objects.filter(tenant=cast.tenant, action="budget.given").order_by("sequence")
    assert [event.detail["before"]["responsible"] for event in events] == [None, str(cast.bob.pseudonym)]
    give(budget, cast.bob)
    erase_person(cast.bob, actor=TESTS)
    assert answering(budget) is None
    give(budget, cast.alice)
    remove_budget(budget=budget, actor=TESTS)
    assert not BudgetDuty.objects.filter(budget_id=budget.pk).exists()
    with pytest.raises(Conflict, match="ended"):
        give(budget, cast.alice)

"""I1: an answer that was withheld after its charge is free: a refund gives the money back, once, to every budget."""

from uuid import UUID

import psycopg
import pytest

from billing.checks.verification import verify
from billing.limits.budgets import change_limit, remove_budget
from billing.models import Budget, BudgetPeriod, LedgerEntry, UsageHour, UsageRecord
from billing.models import Scope as Holder
from tests.billing.raw_ledger import RawLedger, request_of, settlement_of, standing_of
from tests.billing.whole_ledger import Scene, found_after
from tests.support.outage import OwnPostgres
from tests.support.people import TESTS


def give_back(ledger: RawLedger, *request_ids: UUID) -> dict[UUID, int]:
    """What `give_back_v1` gave back, by request."""
    query = "select request_id, amount_nano_eur from give_back_v1(%s, %s)"
    return dict(ledger.connection.execute(query, [ledger.incarnation, list(request_ids)]).fetchall())


def cost_of(request_id: UUID) -> int:
    return UsageRecord.objects.get(pk=request_id).cost_nano_eur


def spent(budget: Budget) -> int:
    return standing_of(budget.pk)[0]


def test_a_refund_is_entered_once_and_the_money_is_free_on_every_budget(scene: Scene) -> None:
    others = cost_of(scene.record)
    withheld = scene.use(input=50, output=20)
    cost = cost_of(withheld)
    assert give_back(scene.ledger, withheld) == {withheld: cost}
    assert give_back(scene.ledger, withheld) == {}
    entry = LedgerEntry.objects.get(request_id=withheld)
    assert (entry.kind, entry.amount_nano_eur, entry.tenant_id) == ("refund", cost, scene.house.tenant.pk)
    assert (entry.actor, entry.idempotency_key) == ("gateway", f"withheld {withheld}")
    assert [spent(budget) for budget in scene.budgets.values()] == [others] * 3
    assert cost_of(withheld) == cost
    hours = UsageHour.objects.filter(tenant_id=scene.house.tenant.pk)
    assert sum(hour.cost_nano_eur for hour in hours) == others + cost
    assert verify() == []


def test_what_was_given_back_can_be_spent_again_and_no_more(scene: Scene) -> None:
    withheld = scene.use(input=50, output=20)
    budget = scene.budgets["key"]
    change_limit(budget=budget, limit_nano_eur=0, actor=TESTS)
    before = BudgetPeriod.objects.get(budget_id=budget.pk)
    assert before.cap_nano_eur == before.spent_nano_eur
    give_back(scene.ledger, withheld)
    after = BudgetPeriod.objects.get(budget_id=budget.pk)
    assert after.cap_nano_eur == after.spent_nano_eur == cost_of(scene.record)
    change_limit(budget=budget, limit_nano_eur=after.spent_nano_eur + 1_000, actor=TESTS)
    request, dear = request_of(scene.house, scene.key.row, 1_000), request_of(scene.house, scene.key.row, 1)
    assert [verdict.verdict for verdict in scene.ledger.admit(request, dear)] == ["admitted", "budget"]


def test_a_budget_that_did_not_count_the_request_keeps_what_is_spent(scene: Scene) -> None:
    """One that was made later, one that was removed before, and one without a cap, which did count it."""
    removed = scene.house.budget(Holder.KEY, scene.key.row.pk, 10**12, period="year")
    scene.use(input=1)
    remove_budget(budget=removed, actor=TESTS)
    uncapped = scene.house.budget(Holder.KEY, scene.key.row.pk, 1, period="week", is_hard=False)
    withheld = scene.use(input=50, output=20)
    later = scene.house.budget(Holder.KEY, scene.key.row.pk, 10**12, period="day")
    other = scene.use(input=10)
    before = {budget.pk: spent(budget) for budget in (removed, uncapped, later)}
    give_back(scene.ledger, withheld)
    after = {budget.pk: spent(budget) for budget in (removed, uncapped, later)}
    assert after == before | {uncapped.pk: before[uncapped.pk] - cost_of(withheld)}
    assert after[later.pk] == cost_of(other)


def test_only_a_charge_of_an_answer_in_one_piece_is_given_back(scene: Scene) -> None:
    """A stream was delivered, as far as it went; and who was charged nothing gets nothing."""
    streamed = request_of(scene.house, scene.key.row)
    streamed["description"] = streamed["description"] | {"stream": True}
    scene.ledger.admit(streamed)
    scene.ledger.settle(settlement_of(scene.house, streamed["request_id"]))
    free, held, unknown = scene.use(), scene.hold(), UUID(int=5)
    assert give_back(scene.ledger, UUID(streamed["request_id"]), free, held, unknown) == {}
    assert not LedgerEntry.objects.filter(tenant_id=scene.house.tenant.pk).exists()


def test_several_at_once_are_added_up(scene: Scene) -> None:
    withheld = [scene.use(input=number, output=1) for number in range(1, 6)]
    given = give_back(scene.ledger, *withheld)
    assert given == {request_id: cost_of(request_id) for request_id in withheld}
    assert spent(scene.budgets["tenant"]) == cost_of(scene.record)
    assert verify() == []


def test_a_fenced_gateway_gives_nothing_back(scene: Scene, postgres: OwnPostgres) -> None:
    withheld = scene.use(input=50)
    with psycopg.connect(postgres.environment["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("update billing_incarnation set fenced_at = now() where id = %s", [scene.ledger.incarnation])
    with pytest.raises(psycopg.Error) as raised:
        give_back(scene.ledger, withheld)
    assert raised.value.sqlstate == "BF001"


@pytest.mark.parametrize("role", ["DATABASE_URL", "DATABASE_GATEWAY_URL", "DATABASE_OWNER_URL"])
def test_I7_where_a_refund_was_taken_from_stays_written(scene: Scene, postgres: OwnPostgres, role: str) -> None:
    give_back(scene.ledger, scene.use(input=50))
    for statement in ("update billing_refunded_period set amount_nano_eur = 1", "delete from billing_refunded_period"):
        with (
            psycopg.connect(postgres.environment[role], autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement.encode())


def test_money_that_a_budget_gave_back_for_nothing_is_found(scene: Scene, postgres: OwnPostgres) -> None:
    taken = """insert into billing_refunded_period
        select gen_random_uuid(), id, 7 from billing_budget_period where budget_id = %(budget)s"""
    less = "update billing_budget_period set spent_nano_eur = spent_nano_eur - 7 where budget_id = %(budget)s"
    found = found_after(postgres, taken, less, budget=scene.budgets["key"].pk)
    assert [(what, expected, found) for what, expected, found in found] == [("refunded", "at most 0", "7")]
    found = found_after(postgres, less, budget=scene.budgets["key"].pk)
    assert [what for what, _, _ in found] == ["spent"]

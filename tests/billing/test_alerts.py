"""People are told when a budget reaches the thresholds that they chose, once each."""

from collections.abc import Iterator

import pytest

from billing.limits.alerts import tell_reached_budgets
from billing.limits.budgets import change_limit, set_budget
from billing.models import Budget
from identity.errors import Invalid
from identity.models import AuditEvent, Notice, Tenant
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house
from tests.support.people import TESTS

A_CHAT_COSTS = 45_000


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


@pytest.fixture
def house(database: None) -> House:
    return make_house()


def told(tenant: Tenant) -> list[tuple[str, int]]:
    found = Notice.objects.filter(tenant=tenant, kind__startswith="budget.").order_by("pk")
    return [(notice.kind, notice.context["percent"]) for notice in found]


def test_a_threshold_is_told_once_and_anew_when_the_budget_is_raised(gateway: LedgerGateway, house: House) -> None:
    budget = set_budget(on=house.project, period="month", limit_nano_eur=10**9, alert_percents=[50, 10], actor=TESTS)
    key = house.key()
    gateway.complete(house, key.row)
    tell_reached_budgets()
    assert told(house.tenant) == []
    change_limit(budget=budget, limit_nano_eur=20 * A_CHAT_COSTS, actor=TESTS)
    tell_reached_budgets()
    assert told(house.tenant) == []  # 5 %
    change_limit(budget=budget, limit_nano_eur=10 * A_CHAT_COSTS, actor=TESTS)
    for _ in range(2):
        tell_reached_budgets()
    assert told(house.tenant) == [("budget.reached", 10)]
    change_limit(budget=budget, limit_nano_eur=A_CHAT_COSTS, actor=TESTS)
    for _ in range(2):
        tell_reached_budgets()
    assert told(house.tenant) == [("budget.reached", 10), ("budget.reached", 50)]  # the highest of those reached


def test_a_hard_budget_that_refuses_near_its_end_is_used_up(gateway: LedgerGateway, house: House) -> None:
    budget = set_budget(on=house.tenant, period="month", limit_nano_eur=10**9, actor=TESTS)
    key = house.key()
    gateway.complete(house, key.row)
    change_limit(budget=budget, limit_nano_eur=A_CHAT_COSTS + 1_000, actor=TESTS)
    tell_reached_budgets()
    assert told(house.tenant) == [("budget.reached", 80)]
    gateway.refuse(house, key.row, "insufficient_quota", "budget/month/tenant")
    tell_reached_budgets()
    assert told(house.tenant) == [("budget.reached", 80), ("budget.exhausted", 100)]


def test_the_audit_says_which_thresholds_there_were_and_are(house: House) -> None:
    for percents in ([80], [50, 90]):
        set_budget(on=house.project, period="day", limit_nano_eur=1, alert_percents=percents, actor=TESTS)
    last = AuditEvent.objects.filter(tenant=house.tenant, action="budget.set").latest("sequence")
    assert [last.detail[when]["alert_percents"] for when in ("before", "after")] == [[80], [50, 90]]


def test_thresholds_are_kept_until_somebody_chooses_others(house: House) -> None:
    def thresholds() -> list[int]:
        return list(Budget.objects.values_list("alert_percents", flat=True).get(pk=budget.pk))

    budget = set_budget(on=house.project, period="day", limit_nano_eur=1, actor=TESTS)
    assert thresholds() == [80, 100]
    set_budget(on=house.project, period="day", limit_nano_eur=1, alert_percents=[90, 50, 90], actor=TESTS)
    set_budget(on=house.project, period="day", limit_nano_eur=2, actor=TESTS)
    assert thresholds() == [50, 90]
    for nonsense in ([0], [101], list(range(1, 12))):
        with pytest.raises(Invalid, match="alert_percents"):
            set_budget(on=house.project, period="day", limit_nano_eur=1, alert_percents=nonsense, actor=TESTS)

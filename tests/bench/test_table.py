"""The table says of each target whether it is reached, and by how much it is missed."""

from bench.session import BEFFROI, ROUTER
from bench.table import Goal, Line, Table, at_most


def test_a_target_is_judged_against_the_rival_of_the_same_run() -> None:
    [goal] = at_most("0.75x vllm-router's", {BEFFROI: 80.0, ROUTER: 100.0}, ROUTER, 0.75)
    assert not goal.is_met
    assert "MISSED by 5 (7 %)" in str(goal)
    [goal] = at_most("0.75x vllm-router's", {BEFFROI: 75.0, ROUTER: 100.0}, ROUTER, 0.75)
    assert goal.is_met


def test_without_the_rival_nothing_is_reached_or_missed() -> None:
    assert at_most("vllm-router's", {BEFFROI: 80.0}, ROUTER, 1) == []


def test_what_is_missed_is_named_with_its_measurement() -> None:
    table = Table([Line("ledger", "pairs/s", {BEFFROI: 7000.0}, [Goal("at least", 8000, 7000, at_least=True)])])
    assert table.missed == ["ledger: pairs/s: **MISSED by 1,000 (12 %)** (7,000; at least: 8,000)"]
    assert "| ledger: pairs/s | – | – | – | 7,000 | – | **MISSED" in table.markdown()

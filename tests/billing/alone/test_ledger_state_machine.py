"""The ledger against a model of it in memory, through long random lives; after each step every table is compared.

`LEDGER_EXAMPLES=20000` plays so many lives instead of a few (three a second).
"""

import contextlib
import os
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing.models import Budget as BudgetRow
from billing.pricing import METERS
from gateway.relay.ids import new_request_id
from tests.billing.ledger_model import Books, Budget, Key, Limit, Row
from tests.billing.ledger_world import World, tables_of
from tests.billing.raw_ledger import RawLedger

EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "60"))
IS_LONG = "LEDGER_EXAMPLES" in os.environ  # only then a failure is made small, which takes minutes
STEPS = 40
MEMORY = timedelta(hours=24)
BAD = (psycopg.DataError, psycopg.IntegrityError)

small = st.integers(0, 60)
caps = st.one_of(st.integers(0, 300), st.integers(0, 300), st.just(10**15))
amounts = st.integers(0, 60)
index = st.integers(0, 10**6)
keys = st.integers(0, 3)
scopes = st.sampled_from(["tenant", "project", "key"])
budgets = st.tuples(
    keys, scopes, st.sampled_from(BudgetRow.Period.values), caps, st.sampled_from([True, True, True, False])
)
kinds = st.sampled_from(
    [("concurrent", "none")]
    + [
        (what, window)
        for what in ("requests", "tokens", "output_tokens")
        for window in ("minute", "hour", "day", "month")
    ]
)
limits = st.tuples(keys, scopes, kinds, st.one_of(st.integers(0, 12), st.integers(50, 400), st.integers(300, 3_000)))
asks = st.fixed_dictionaries(
    {
        "key": st.sampled_from([0, 1, 2, 3] * 5 + [4]),  # the last is nobody's
        "amount": amounts,
        "tokens": small,
        "output_tokens": small,
        "idempotency": st.one_of(st.none(), st.none(), st.sampled_from(["a", "b"])),
        "label": st.sampled_from(["", "", "chat", "nightly"]),
        "terse": st.booleans(),  # without what the ledger knows itself
        "stale": st.sampled_from([None] * 30 + ["key_version", "tenant_version", "price_version_id"]),
        "again": st.sampled_from([False] * 5 + [True]),  # an id that was used
    }
)
ends = st.fixed_dictionaries(
    {
        "which": index,
        "beside": st.sampled_from([False] * 9 + [True]),  # an id that nobody asked for
        "quantities": st.tuples(*[st.one_of(st.just(0), st.integers(0, 9), small)] * len(METERS)),
        "excess": st.one_of(st.just(0), st.integers(-60, 60)),  # of the price over the hold
        "http_status": st.sampled_from([200, 200, 499, 503]),
        "status": st.sampled_from(["completed", "client_left", "engine_died", "clamped"]),
    }
)
poisons = st.sampled_from(
    [
        {"http_status": 70_000}, {"status": "no such"}, {"status": None}, {"duration_ms": 2**31},
        {"input_quantity": -1}, {"output_nano_eur": -1}, {"input_quantity": "many"}, {"cached_nano_eur": 2**63},
    ]
)  # fmt: skip
poisoned_asks = st.sampled_from([{"tokens": -1}, {"amount": 2**63}, {"amount": -1}, {"output_tokens": "x"}])


class LedgerMachine(RuleBasedStateMachine):
    """Two tenants, two gateways."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.books: Books = self.world.begin()
        self.gateways = [self.world.gateway(number) for number in range(2)]
        self.asked: dict[str, Row] = {}

    def teardown(self) -> None:
        for gateway in self.gateways:
            gateway.close()

    @initialize(budgets=st.lists(budgets, min_size=1, max_size=5), limits=st.lists(limits, max_size=2))
    def settle_in(self, budgets: list[Any], limits: list[Any]) -> None:
        for budget in budgets:
            self.add_budget(budget)
        for limit in limits:
            self.add_limit(limit)

    # Requests

    @rule(asks=st.lists(asks, min_size=1, max_size=5), gateway=st.integers(0, 1))
    def admit(self, asks: list[Row], gateway: int) -> None:
        self._admit([self._ask(ask) for ask in asks], self.gateways[gateway])

    admit_more = admit_often = admit_on = admit  # so often as most of the others together

    @rule(asks=st.lists(asks, max_size=3), poison=poisoned_asks, place=st.integers(0, 3), gateway=st.integers(0, 1))
    def admit_with_poison(self, asks: list[Row], poison: Row, place: int, gateway: int) -> None:
        """One bad item: the whole batch is refused; then each is tried alone, as the relay does."""
        rows = [self._ask(ask) for ask in asks]
        bad = (
            self._ask({"key": 0, "amount": 0, "tokens": 0, "output_tokens": 0} | dict.fromkeys(("stale", "again")))
            | poison
        )
        rows.insert(min(place, len(rows)), bad)
        try:
            self._admit(rows, self.gateways[gateway])
        except BAD:
            self._compare()
        else:  # it was refused before anybody looked at its figures
            assert bad["request_id"] not in self.asked
            return
        for row in rows:
            if row is not bad:
                self._admit([row], self.gateways[gateway])
                continue
            with contextlib.suppress(*BAD):
                self._admit([bad], self.gateways[gateway])
            assert bad["request_id"] not in self.asked

    @precondition(lambda self: self.asked)
    @rule(which=st.lists(index, min_size=1, max_size=4), gateway=st.integers(0, 1))
    def ask_again_after_a_lost_answer(self, which: list[int], gateway: int) -> None:
        asked = list(self.asked)
        ids = dict.fromkeys(asked[number % len(asked)] for number in which)
        self._admit([self.asked[request_id] | {"replay": True} for request_id in ids], self.gateways[gateway])

    @precondition(lambda self: self.books.holds)
    @rule(ends=st.lists(ends, min_size=1, max_size=5), gateway=st.integers(0, 1), twice=st.booleans())
    def settle(self, ends: list[Row], gateway: int, twice: bool) -> None:
        rows = [self._end(end) for end in ends]
        rows = list({row["request_id"]: row for row in rows}.values())
        self._settle(rows + rows[:1] * twice, self.gateways[gateway])
        if twice:  # the answer was lost
            self._settle(rows, self.gateways[gateway])

    settle_more = settle

    @precondition(lambda self: self.books.holds)
    @rule(which=index, gateway=st.integers(0, 1))
    def cancel(self, which: int, gateway: int) -> None:
        end = {"which": which, "beside": False, "quantities": (0,) * len(METERS), "excess": -(10**9)}
        row = self._end(end | {"http_status": 503, "status": "engine_failed"})
        self._settle([row], self.gateways[gateway])
        assert self.books.records[row["request_id"]]["cost_nano_eur"] == 0

    @precondition(lambda self: self.books.holds)
    @rule(ends=st.lists(ends, min_size=1, max_size=3), poison=poisons, gateway=st.integers(0, 1))
    def settle_with_poison(self, ends: list[Row], poison: Row, gateway: int) -> None:
        rows = list({row["request_id"]: row for row in [self._end(end | {"beside": False}) for end in ends]}.values())
        bad = rows[0] | poison
        if bad["request_id"] not in self.books.holds:
            return
        with pytest.raises(BAD):
            self.gateways[gateway].settle(bad, *rows[1:])
        self._compare()
        for row in rows[1:]:
            self._settle([row], self.gateways[gateway])
        with pytest.raises(BAD):
            self.gateways[gateway].settle(bad)

    @precondition(lambda self: self.books.holds)
    @rule(which=st.lists(index, min_size=1, max_size=3), told=small, gateway=st.integers(0, 1))
    def checkpoint(self, which: list[int], told: int, gateway: int) -> None:
        """Only the holds of the gateway that tells it are written."""
        holds = list(self.books.holds)
        writer = self.gateways[gateway]
        reports = {holds[number % len(holds)]: {"output": told, "pool": "p"} for number in which}
        mine = [request_id for request_id in reports if self.books.holds[request_id].incarnation == writer.incarnation]
        assert writer.checkpoint(reports) == len(mine)
        for request_id in mine:
            self.books.holds[request_id].checkpoint = reports[request_id]

    @rule(which=st.integers(0, 1))
    def lose_a_gateway(self, which: int) -> None:
        """It is fenced, nothing that it still sends counts, and the other settles what it last reported."""
        lost, sweeper = self.gateways[which], self.gateways[1 - which]
        self.world.silence(lost)
        assert sweeper.fence() >= 1
        for late in (lambda: lost.admit(self._ask_of(self.world.keys[0])), lambda: lost.settle(self._unknown_end())):
            with pytest.raises(psycopg.Error) as refusal:
                late()
            assert refusal.value.sqlstate == "BF001"
        left = {name: hold for name, hold in self.books.holds.items() if hold.incarnation == lost.incarnation}
        orphans = {str(row[0]): row[1:] for row in sweeper.orphans() if str(row[0]) in self.books.holds}
        assert orphans == {name: (hold.row["price_version_id"], hold.checkpoint) for name, hold in left.items()}
        ends = [
            self._end_of(name, (0, 0, (hold.checkpoint or {}).get("output", 0), 0, 0, 0, 0))
            for name, hold in left.items()
        ]
        if ends:
            self._settle(ends, sweeper)
        lost.close()
        self.gateways[which] = self.world.gateway(which)

    # People and time

    @rule(tenant=st.integers(0, 1))
    def change_price(self, tenant: int) -> None:
        self.world.change_price(self.world.tenants[tenant])

    @rule(key=keys, refused=st.sampled_from([None] * 6 + ["key_revoked", "key_expired"]))
    def change_key(self, key: int, refused: str | None) -> None:
        self.world.refuse_key(self.world.keys[key], refused)

    @rule(tenant=st.integers(0, 1), refused=st.sampled_from([None] * 6 + ["tenant_suspended"]))
    def change_tenant(self, tenant: int, refused: str | None) -> None:
        self.world.refuse_tenant(self.world.tenants[tenant], refused)

    @rule(budget=budgets)
    def add_budget(self, budget: Any) -> None:
        key, scope, period, limit, is_hard = budget
        holder = self.world.keys[key]
        self.books.budgets.append(
            self.world.add_budget(holder.tenant, scope, _id_of(scope, holder), period, limit, is_hard)
        )

    @rule(limit=limits)
    def add_limit(self, limit: Any) -> None:
        key, scope, (what, window), amount = limit
        holder = self.world.keys[key]
        self.books.limits.append(
            self.world.add_limit(holder.tenant, scope, _id_of(scope, holder), what, window, amount)
        )

    @precondition(lambda self: self.books.budgets)
    @rule(which=index, how=st.sampled_from(["to", "to", "below what is used"]), limit=caps)
    def change_budget(self, which: int, how: str, limit: int) -> None:
        budget = self.books.budgets[which % len(self.books.budgets)]
        used = [period.spent + period.held for period in self.books.periods if period.budget is budget]
        limit = limit if how == "to" or not used else max(used[-1] - 1, 0)
        at = self.world.set_budget_limit(budget, limit)
        self.books.set_limit(budget, limit, at)

    @precondition(lambda self: self.books.limits)
    @rule(which=index, amount=st.integers(0, 100))
    def change_limit(self, which: int, amount: int) -> None:
        limit = self.books.limits[which % len(self.books.limits)]
        self.world.change_limit(limit, amount)
        limit.amount = amount

    @precondition(lambda self: self.books.budgets + self.books.limits)
    @rule(which=index)
    def remove(self, which: int) -> None:
        things: list[Budget | Limit] = [*self.books.budgets, *self.books.limits]
        thing = things[which % len(things)]
        self.world.remove(thing)
        thing.is_active = False

    @rule(
        span=st.sampled_from(
            [timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=9), timedelta(days=32)]
        )
    )
    def pass_time(self, span: timedelta) -> None:
        self.world.pass_time(span)
        self.books.pass_time(span)

    @rule()
    def tidy(self) -> None:
        at = self.gateways[0].tidy(MEMORY)
        self.books.tidy(MEMORY, at)

    @invariant()
    def the_tables_are_the_models(self) -> None:
        self._compare()

    def _compare(self) -> None:
        written, told = self.world.tables(), tables_of(self.books)
        for name in told:
            assert written[name] == told[name], name
        for period in written["periods"]:  # I3
            cap = period["cap_nano_eur"]
            assert cap is None or period["spent_nano_eur"] + period["held_nano_eur"] <= cap

    # How rows are made and sent

    def _admit(self, rows: list[Row], gateway: RawLedger) -> None:
        at, verdicts = gateway.admit_at(*rows)
        answers = self.books.admit(rows, gateway.incarnation, at)
        for row, answer, verdict in zip(rows, answers, verdicts, strict=True):
            detail = _with_instants(verdict.detail)
            assert answer.agrees_with(verdict.verdict, detail), (row, verdict, answer)
            if answer.verdict == "admitted":
                self.asked[row["request_id"]] = row

    def _settle(self, rows: list[Row], gateway: RawLedger) -> None:
        at, told = gateway.settle_at(*rows)
        assert told == self.books.settle(rows, at)

    def _ask(self, ask: Row) -> Row:
        if ask["again"] and self.books.holds:
            return self.books.holds[next(iter(self.books.holds))].row
        row = self._ask_of(self.world.keys[ask["key"] % 4]) | {
            name: ask[name] for name in ("amount", "tokens", "output_tokens")
        }
        row["description"]["label"] = ask.get("label", "")
        if ask.get("terse"):
            row["description"] = {name: told for name, told in row["description"].items() if told not in ("", "api")}
        if ask["key"] == 4:
            row["key_id"] = -1
        if ask["stale"]:
            row[ask["stale"]] -= 1
        return row | ({"idempotency": ask["idempotency"]} if ask.get("idempotency") else {})

    def _ask_of(self, key: Key) -> Row:
        house = self.world.houses[self.world.tenants.index(key.tenant)]
        return {
            "request_id": str(new_request_id()),
            "key_id": key.id,
            "key_version": key.version,
            "tenant_version": key.tenant.version,
            "model_id": house.model.pk,
            "mode": "standard",
            "price_version_id": key.tenant.price_version,
            "amount": 1,
            "tokens": 1,
            "output_tokens": 1,
            "description": {
                "model": house.model.name, "alias": "alias", "endpoint": "/v1/completions", "door": "api",
                "stream": True, "guardrail": "", "label": "", "max_tokens_asked": None, "max_tokens_given": 60,
                "kwh_per_million_tokens": None,
            },
        }  # fmt: skip

    def _end(self, end: Row) -> Row:
        ended = [*self.books.holds] * 3 + [*self.books.records]
        if end["beside"] or not ended:
            return self._unknown_end()
        request_id = ended[end["which"] % len(ended)]
        if end["status"] == "engine_failed":
            request_id = [*self.books.holds][end["which"] % len(self.books.holds)]
        hold = self.books.holds.get(request_id)
        price = max((hold.row["amount"] if hold else 0) + end["excess"], 0)
        row = self._end_of(request_id, end["quantities"], price)
        return row | {"http_status": end["http_status"], "status": end["status"]}

    def _end_of(self, request_id: str, quantities: tuple[int, ...], price: int = 0) -> Row:
        row: Row = {
            "request_id": request_id, "status": "gateway_lost", "http_status": 502, "finish_reason": "stop",
            "pool": "p", "replica": "r", "node": "n", "site": "s", "ttft_ms": None, "duration_ms": 7,
        }  # fmt: skip
        parts = [price // 2, 0, price - price // 2, 0, 0, 0, 0]
        for meter, quantity, amount in zip(METERS, quantities, parts, strict=True):
            row |= {f"{meter}_quantity": quantity, f"{meter}_nano_eur": amount}
        return row

    def _unknown_end(self) -> Row:
        return self._end_of(str(new_request_id()), (1,) * len(METERS), 5)


def _id_of(scope: str, key: Key) -> int:
    return {"tenant": key.tenant.id, "project": key.project, "key": key.id}[scope]


def _with_instants(detail: Any) -> Any:
    if detail and detail.get("resets_at"):
        return detail | {"resets_at": datetime.fromisoformat(detail["resets_at"])}
    return detail


@pytest.mark.timeout(0 if IS_LONG else 120)
def test_the_ledger_does_what_its_model_does(
    database: None, owner_database_url: str, gateway_database_url: str
) -> None:
    LedgerMachine.world = World(owner_database_url, gateway_database_url)
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, database=None, print_blob=True,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate] + [Phase.shrink] * IS_LONG,
        ),
    )  # fmt: skip

"""The ledger's functions called with whole batches, as the relay calls them."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from billing.models import BudgetPeriod, LimitWindow
from billing.pricing import METERS, Quantities, price_of
from gateway.relay.ids import new_request_id
from identity.models import ApiKey, Tenant
from tests.support.ledger import House, Verdict

Row = dict[str, Any]
Told = tuple[str, int | None, int | None]
A_REQUEST = Quantities(input=40, output=60)


def request_of(house: House, key: ApiKey, amount: int = 1_000_000, **changes: Any) -> Row:
    """One element of a batch for `admit_v1`: `amount` nano-EUR, 100 tokens of which 60 are output."""
    key.refresh_from_db()
    tenant = Tenant.objects.get(pk=key.tenant_id)
    described = {
        "model": house.model.name,
        "alias": house.model.name,
        "endpoint": "/v1/chat/completions",
        "door": "api",
        "stream": False,
        "guardrail": "",
        "label": "",
        "max_tokens_asked": None,
        "max_tokens_given": 60,
        "kwh_per_million_tokens": None,
    }
    row = {
        "request_id": str(new_request_id()),
        "key_id": key.pk,
        "key_version": key.policy_version,
        "tenant_version": tenant.policy_version,
        "model_id": house.model.pk,
        "mode": "standard",
        "price_version_id": house.price_version.pk,
        "amount": amount,
        "tokens": 100,
        "output_tokens": 60,
        "description": described,
    }
    return row | changes


def settlement_of(house: House, request_id: str | UUID, quantities: Quantities = A_REQUEST, **changes: Any) -> Row:
    """One element of a batch for `settle_v1`."""
    _, amounts = price_of(quantities, house.prices)
    row: Row = {
        "request_id": str(request_id),
        "status": "completed",
        "http_status": 200,
        "finish_reason": "stop",
        "pool": "",
        "replica": "",
        "node": "",
        "site": "",
        "ttft_ms": 1,
        "duration_ms": 2,
    }
    for meter, quantity, amount in zip(METERS, quantities, amounts, strict=True):
        row |= {f"{meter}_quantity": quantity, f"{meter}_nano_eur": amount}
    return row | changes


def as_lists(settlement: Row) -> Row:
    """A settlement as this release's relay sends it: quantities and amounts in the order of the meters."""
    row = {name: value for name, value in settlement.items() if not name.endswith(("_quantity", "_nano_eur"))}
    row["quantities"] = [settlement[f"{meter}_quantity"] for meter in METERS]
    row["amounts"] = [settlement[f"{meter}_nano_eur"] for meter in METERS]
    return row


@dataclass
class RawLedger:
    """One incarnation on a connection of its own. `is_old`: it writes settlements as the last release's relay does."""

    connection: psycopg.Connection[tuple[Any, ...]]
    incarnation: UUID = field(default_factory=uuid4)
    is_old: bool = False

    @classmethod
    def open(cls, gateway_database_url: str, *, is_old: bool = False) -> "RawLedger":
        """A new connection and a new incarnation."""
        ledger = cls(psycopg.connect(gateway_database_url, autocommit=True), is_old=is_old)
        ledger.connection.execute("select begin_incarnation_v1(%s, 'test', 1)", [ledger.incarnation])
        return ledger

    def close(self) -> None:
        """End the incarnation."""
        self.connection.execute("select end_incarnation_v1(%s)", [self.incarnation])
        self.connection.close()

    def admit(self, *requests: Row) -> list[Verdict]:
        """A batch of holds; verdicts in the batch's order."""
        return self.admit_at(*requests)[1]

    def admit_at(self, *requests: Row) -> tuple[datetime, list[Verdict]]:
        """A batch of holds: when, by the database's clock, and the verdicts in the batch's order."""
        batch = [row | {"position": position} for position, row in enumerate(requests)]
        rows = self.connection.execute(
            "select now(), request_id, verdict, detail from admit_v1(%s, %s::jsonb)",
            [self.incarnation, json.dumps(batch)],
        ).fetchall()
        told = {str(row[1]): Verdict(*row[1:]) for row in rows}
        assert len(told) == len({row["request_id"] for row in requests})
        return rows[0][0], [told[row["request_id"]] for row in requests]

    def settle(self, *settlements: Row) -> dict[str, Told]:
        """A batch of charges: verdict, cost and uncharged amount by request id."""
        return self.settle_at(*settlements)[1]

    def settle_at(self, *settlements: Row) -> tuple[datetime, dict[str, Told]]:
        """A batch of charges: when, by the database's clock, then verdict, cost and uncharged amount by request id."""
        batch = settlements if self.is_old else [as_lists(settlement) for settlement in settlements]
        rows = self.connection.execute(
            "select now(), request_id, verdict, cost_nano_eur, uncharged_nano_eur from settle_v1(%s, %s::jsonb)",
            [self.incarnation, json.dumps(batch)],
        ).fetchall()
        return rows[0][0], {str(row[1]): (row[2], row[3], row[4]) for row in rows}

    def checkpoint(self, reports: dict[str, Row]) -> int:
        """Write what running streams reported, by request id; how many holds took it."""
        return int(self._one("select checkpoint_v1(%s, %s::jsonb)", [self.incarnation, json.dumps(reports)]))

    def fence(self, silence: str = "30 s", grace: str = "0 s") -> int:
        """Fence who was silent; how many."""
        return int(self._one("select fence_silent_v1(%s::interval, %s::interval)", [silence, grace]))

    def orphans(self) -> list[tuple[UUID, int, Row | None]]:
        """Holds without a live owner: request id, price version and checkpoint."""
        query = "select request_id, price_version_id, checkpoint from orphaned_holds_v1(100000)"
        return self.connection.execute(query).fetchall()

    def tidy(self, memory: timedelta) -> datetime:
        """Housekeeping; answers when."""
        row = self.connection.execute("select now(), tidy_v1(1000, %s)", [memory]).fetchone()
        assert row is not None
        at: datetime = row[0]
        return at

    def _one(self, query: str, values: list[Any]) -> Any:
        row = self.connection.execute(query, values).fetchone()
        assert row is not None
        return row[0]


def standing_of(budget_id: int) -> tuple[int, int]:
    """Spent and held of a budget's only period."""
    period = BudgetPeriod.objects.get(budget_id=budget_id)
    return period.spent_nano_eur, period.held_nano_eur


def used_of(limit_id: int) -> int:
    """What is used of a limit's window."""
    return LimitWindow.objects.get(limit_id=limit_id).used

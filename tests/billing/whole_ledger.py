"""A ledger of its own that adds up, and lies about it: what the tests of verification and of sealing share.

Lies are told by a superuser with the triggers off, in a transaction that is undone. The cluster is these tests' own:
others leave rows that were never meant to add up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg

from billing.checks.verification import differences
from billing.models import Budget
from billing.models import Scope as Holder
from billing.pricing import Quantities
from tests.billing.raw_ledger import RawLedger, request_of, settlement_of
from tests.support.ledger import HeldKey, House, make_house
from tests.support.outage import OwnPostgres

PLENTY = 10**12


@dataclass
class Scene:
    """A tenant with budgets on all three places that has been served."""

    house: House
    key: HeldKey
    budgets: dict[str, Budget]
    ledger: RawLedger
    record: UUID

    def use(self, **quantities: int) -> UUID:
        """One more request, settled."""
        request = request_of(self.house, self.key.row)
        assert [verdict.verdict for verdict in self.ledger.admit(request)] == ["admitted"]
        self.ledger.settle(settlement_of(self.house, request["request_id"], Quantities(**quantities)))
        return UUID(request["request_id"])

    def hold(self) -> UUID:
        """One more request, under way."""
        request = request_of(self.house, self.key.row)
        self.ledger.admit(request)
        return UUID(request["request_id"])


@contextmanager
def served_tenant(postgres: OwnPostgres) -> Iterator[Scene]:
    """A new one, with one request settled."""
    house = make_house()
    key = house.key()
    places = {"tenant": house.tenant.pk, "project": house.project.pk, "key": key.row.pk}
    budgets = {scope: house.budget(Holder(scope), pk, PLENTY) for scope, pk in places.items()}
    ledger = RawLedger.open(postgres.environment["DATABASE_GATEWAY_URL"])
    try:
        scene = Scene(house, key, budgets, ledger, uuid4())
        scene.record = scene.use(input=33, cached=7, output=41, reasoning=3)
        yield scene
    finally:
        ledger.close()


@contextmanager
def lying(postgres: OwnPostgres) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
    """A superuser's transaction without triggers, undone at the end."""
    with psycopg.connect(postgres.superuser_url) as superuser:
        cursor = superuser.cursor()
        cursor.execute("set transaction isolation level repeatable read; set local session_replication_role = replica")
        yield cursor
        superuser.rollback()


def found_after(postgres: OwnPostgres, *statements: str, **values: object) -> list[tuple[str, str, str]]:
    """What, expected and found of each difference once the statements have run, while they were not committed."""
    with lying(postgres) as cursor:
        for statement in statements:
            cursor.execute(statement.encode(), values)
        return [(each.what, each.expected, each.found) for each in differences(cursor, lambda line: None)]

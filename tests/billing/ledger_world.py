"""The database that the state machine plays in: two tenants made once, their working rows removed before each game.

What only grows (usage records, prices) stays; a game looks at the records that came after its start.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from billing.models import Contract
from gateway.relay.ids import new_request_id
from identity.models import Tenant as TenantRow
from tests.billing.ledger_calendar import FOREVER, NEVER
from tests.billing.ledger_model import HOURS, LABELS, Books, Budget, Key, Limit, Row, Tenant
from tests.billing.raw_ledger import RawLedger
from tests.support.ledger import House, make_house

ZONES = ("UTC", "Europe/Paris")
LONG_AGO = datetime.fromisoformat("2020-01-01T00:00Z")

_AGE_WINDOWS = """
    update billing_limit_window w set
        starts_at = case when w.starts_at > %(never)s then w.starts_at - %(span)s else w.starts_at end,
        ends_at = case when w.ends_at > %(never)s and w.ends_at < %(forever)s then w.ends_at - %(span)s
            else w.ends_at end
    from billing_limit l where l.id = w.limit_id and l.tenant_id = any(%(tenants)s)
"""
_AGE_PERIOD = """
    update billing_budget_period set
        starts_at = case when starts_at > %(never)s then starts_at - %(span)s else starts_at end,
        ends_at = case when ends_at < %(forever)s then ends_at - %(span)s else ends_at end
    where id = %(id)s
"""


class World:
    """Two tenants, one with two projects and three keys, one with one key; and the owner's view of all tables."""

    def __init__(self, owner_url: str, gateway_url: str) -> None:
        self.owner: psycopg.Connection[Row] = psycopg.connect(owner_url, autocommit=True, row_factory=dict_row)
        self._gateway_url = gateway_url
        self.houses = [make_house(time_zone=zone) for zone in ZONES]
        first, second = self.tenants = [_tenant(house) for house in self.houses]
        other = self.houses[0].project_called("Other")
        rows = [self.houses[0].key().row for _ in range(2)] + [self.houses[0].key(project=other).row]
        self.keys = [Key(row.pk, row.project_id, first, 0, None) for row in rows]
        self.keys.append(Key(self.houses[1].key().row.pk, self.houses[1].project.pk, second, 0, None))
        self._ids = [tenant.id for tenant in self.tenants]
        self._after = ""

    def gateway(self, number: int) -> RawLedger:
        """A new incarnation; the second gateway is of the last release."""
        return RawLedger.open(self._gateway_url, is_old=number == 1)

    def begin(self) -> Books:
        """Remove what the last game left, and give keys and tenants back their innocence."""
        while True:
            try:
                self._remove_all()
                break
            except psycopg.errors.DeadlockDetected:  # with a gateway of another test, which looks for lost holds
                continue
        self._after = str(new_request_id())
        return Books({key.id: key for key in self.keys})

    def _remove_all(self) -> None:
        with self.owner.transaction():
            for table, column in (("budget_period", "budget"), ("limit_window", "limit")):
                self.owner.execute(
                    f"delete from billing_{table} x using billing_{column} y"
                    f" where y.id = x.{column}_id and y.tenant_id = any(%s)",
                    [self._ids],
                )
            for table in ("budget", "limit", "hold", "usage_hour", "usage_day", "usage_label"):
                self.owner.execute(f"delete from billing_{table} where tenant_id = any(%s)", [self._ids])
            keys = [key.id for key in self.keys]
            self.owner.execute("delete from billing_idempotency_key where key_id = any(%s)", [keys])
            for tenant in self.tenants:
                self.refuse_tenant(tenant, None)
            for key in self.keys:
                self.refuse_key(key, None)

    # What people do

    def refuse_key(self, key: Key, refused: str | None) -> None:
        """Revoke a key, let it expire, or make it good again. Its version rises."""
        revoked = LONG_AGO if refused == "key_revoked" else None
        expires = LONG_AGO if refused == "key_expired" else None
        key.version = self._one(
            "update identity_apikey set revoked_at = %s, expires_at = %s, name = %s where id = %s"
            " returning policy_version as it",
            [revoked, expires, uuid4().hex, key.id],
        )
        key.refused = refused

    def refuse_tenant(self, tenant: Tenant, refused: str | None) -> None:
        """Suspend a tenant, or let it go on. Its version rises."""
        tenant.version = self._one(
            "update identity_tenant set status = %s, name = %s where id = %s returning policy_version as it",
            ["suspended" if refused else "active", uuid4().hex, tenant.id],
        )
        tenant.refused = refused

    def change_price(self, tenant: Tenant) -> None:
        """A new price version for the tenant's model, in force now."""
        tenant.price_version = self._one(
            "insert into billing_priceversion (rate_card_id, model_id, mode, valid_from, created_at)"
            " select rate_card_id, model_id, mode, clock_timestamp(), now() from billing_priceversion where id = %s"
            " returning id as it",
            [tenant.price_version],
        )

    def add_budget(self, tenant: Tenant, scope: str, scope_id: int, period: str, limit: int, is_hard: bool) -> Budget:
        """A budget that somebody sets, of a source of its own: of each there is one a scope and period."""
        source = uuid4().hex
        budget_id = self._one(
            "insert into billing_budget (tenant_id, scope, scope_id, period, limit_nano_eur, is_hard, may_lower_output,"
            " source, is_active, created_at) values (%s, %s, %s, %s, %s, %s, false, %s, true, now())"
            " returning id as it",
            [tenant.id, scope, scope_id, period, limit, is_hard, source],
        )
        return Budget(budget_id, tenant, scope, scope_id, period, limit, is_hard, source)

    def add_limit(self, tenant: Tenant, scope: str, scope_id: int, what: str, window: str, amount: int) -> Limit:
        """A limit that somebody sets."""
        limit_id = self._one(
            'insert into billing_limit (tenant_id, scope, scope_id, what, "window", amount, source, is_active)'
            " values (%s, %s, %s, %s, %s, %s, %s, true) returning id as it",
            [tenant.id, scope, scope_id, what, window, amount, uuid4().hex],
        )
        return Limit(limit_id, tenant, scope, scope_id, what, window, amount)

    def set_budget_limit(self, budget: Budget, limit: int) -> datetime:
        """Through the ledger's own function; answers when."""
        at: datetime = self._one("select now() as it, set_budget_limit_v1(%s, %s)", [budget.id, limit])
        return at

    def change_limit(self, limit: Limit, amount: int) -> None:
        """Another amount; what is used stays."""
        self.owner.execute("update billing_limit set amount = %s where id = %s", [amount, limit.id])

    def remove(self, thing: Budget | Limit) -> None:
        """It binds nobody any more."""
        table = "billing_budget" if isinstance(thing, Budget) else "billing_limit"
        self.owner.execute(f"update {table} set is_active = false where id = %s", [thing.id])

    # What time does

    def pass_time(self, span: timedelta) -> None:
        """Make everything that was written older by `span`."""
        told: Row = {"span": span, "never": NEVER, "forever": FOREVER, "tenants": self._ids}
        periods = self._rows(
            "select p.id from billing_budget_period p join billing_budget b on b.id = p.budget_id"
            " where b.tenant_id = any(%s) order by p.ends_at"
        )
        with self.owner.transaction():
            for period in periods:  # the earliest first: two periods of one budget never have one end
                self.owner.execute(_AGE_PERIOD, told | period)
            self.owner.execute(_AGE_WINDOWS, told)
            self.owner.execute(
                "update billing_hold set admitted_at = admitted_at - %(span)s where tenant_id = any(%(tenants)s)", told
            )
            self.owner.execute(
                "update billing_idempotency_key set created_at = created_at - %s where key_id = any(%s)",
                [span, [key.id for key in self.keys]],
            )

    def silence(self, gateway: RawLedger) -> None:
        """Nobody heard of a gateway for a minute."""
        self.owner.execute(
            "update billing_incarnation set heartbeat_at = now() - interval '1 minute' where id = %s",
            [gateway.incarnation],
        )

    # What is written

    def tables(self) -> Row:
        """Every table of the ledger for these tenants, in the shape of `tables_of`."""
        periods = self._rows(
            "select p.* from billing_budget_period p join billing_budget b on b.id = p.budget_id"
            " where b.tenant_id = any(%s)"
        )
        names = {row["id"]: (row["budget_id"], row["ends_at"]) for row in periods}
        for row in periods:
            del row["id"]
        holds = self._rows("select * from billing_hold where tenant_id = any(%s)")
        for row in holds:
            row["request_id"] = str(row["request_id"])
            row["period_ids"] = sorted(names[period] for period in row["period_ids"])
            row["limit_ids"] = sorted(row["limit_ids"])
        records = self._rows(
            "select * from billing_usage_record where tenant_id = any(%s) and request_id > %s", self._after
        )
        return {
            "periods": _sorted(periods),
            "windows": _sorted(
                self._rows(
                    "select w.* from billing_limit_window w join billing_limit l on l.id = w.limit_id"
                    " where l.tenant_id = any(%s)"
                )
            ),
            "holds": _sorted(holds),
            "records": _sorted([row | {"request_id": str(row["request_id"])} for row in records]),
            "hours": _sorted(self._rows("select * from billing_usage_hour where tenant_id = any(%s)")),
            "labels": _sorted(self._rows("select * from billing_usage_label where tenant_id = any(%s)")),
            "days": _sorted(self._rows("select * from billing_usage_day where tenant_id = any(%s)")),
            "idempotency": _sorted(
                [
                    row | {"request_id": str(row["request_id"])}
                    for row in self._rows(
                        "select i.* from billing_idempotency_key i join identity_apikey k on k.id = i.key_id"
                        " where k.tenant_id = any(%s)"
                    )
                ]
            ),
        }

    def _rows(self, query: str, *more: object) -> list[Row]:
        return self.owner.execute(query, [self._ids, *more], prepare=True).fetchall()

    def _one(self, query: str, values: Sequence[object]) -> Any:
        row = self.owner.execute(query, values).fetchone()
        assert row is not None
        return row["it"]


def tables_of(books: Books) -> Row:
    """What the tables have to hold."""
    return {
        "periods": _sorted(
            [
                {
                    "budget_id": period.budget.id,
                    "starts_at": period.starts_at,
                    "ends_at": period.ends_at,
                    "limit_nano_eur": period.limit,
                    "cap_nano_eur": period.cap,
                    "spent_nano_eur": period.spent,
                    "held_nano_eur": period.held,
                }
                for period in books.periods
            ]
        ),
        "windows": _sorted(
            [
                {"limit_id": number, "starts_at": window.starts_at, "ends_at": window.ends_at, "used": window.used}
                for number, window in books.windows.items()
            ]
        ),
        "holds": _sorted([_hold(books, request_id) for request_id in books.holds]),
        "records": _sorted([record | {"request_id": request_id} for request_id, record in books.records.items()]),
        "hours": _sorted(
            [
                dict(zip(("hour", "tenant_id", "project_id", "key_id", "model_id", "mode"), group, strict=True))
                | dict(zip(HOURS, sums, strict=True))
                for group, sums in books.hours.items()
            ]
        ),
        "days": _sorted(
            [
                dict(zip(("day", "tenant_id", "project_id", "model_id", "mode"), group, strict=True))
                | dict(zip(HOURS, sums, strict=True))
                for group, sums in books.days.items()
            ]
        ),
        "labels": _sorted(
            [
                dict(zip(("hour", "tenant_id", "project_id", "model_id", "label"), group, strict=True))
                | dict(zip(LABELS, sums, strict=True))
                for group, sums in books.labels.items()
            ]
        ),
        "idempotency": _sorted(
            [
                {"key_id": key, "digest": digest, "request_id": first, "created_at": at}
                for (key, digest), (first, at) in books.idempotency.items()
            ]
        ),
    }


def _hold(books: Books, request_id: str) -> Row:
    hold = books.holds[request_id]
    return {
        "request_id": request_id,
        "incarnation": hold.incarnation,
        "tenant_id": hold.key.tenant.id,
        "project_id": hold.key.project,
        "key_id": hold.key.id,
        "model_id": hold.row["model_id"],
        "price_version_id": hold.row["price_version_id"],
        "contract_id": hold.contract,
        "period_ids": sorted((period.budget.id, period.ends_at) for period in hold.periods),
        "limit_ids": sorted(window.limit.id for window in hold.windows),
        "amount_nano_eur": hold.row["amount"],
        "tokens": hold.row["tokens"],
        "output_tokens": hold.row["output_tokens"],
        "admitted_at": hold.admitted_at,
        "description": hold.row["description"] | {"owner": hold.key.owner, "mode": hold.row["mode"]},
        "checkpoint": hold.checkpoint,
    }


def _tenant(house: House) -> Tenant:
    contract = Contract.objects.get(tenant=house.tenant, ends_at=None)
    row = TenantRow.objects.get(pk=house.tenant.pk)
    return Tenant(row.pk, row.time_zone, contract.pk, row.policy_version, house.price_version.pk)


def _sorted(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [str(row[name]) for name in sorted(row)])

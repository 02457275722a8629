"""Prepaid credit as it stands: balance, lots, movements, orders; and what a closed month needs to know of it. Reads
only, nano-EUR without VAT. `billing/credit/moves.py` moves it, `docs/credit.md` says how it works.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Subquery

from billing.models import BillingSettings, CreditOrder, CreditPayment
from billing.usage.statement import month_of
from identity.models import Service, Tenant
from identity.service import service

MOST_SHOWN = 200  # lots, movements or orders: the newest
BANK_FIELDS = ("account_name", "iban", "bic")

_ACCOUNT = """
    select bool_or(b.is_active), billing_credited_v1(%(tenant)s),
        coalesce(sum(p.spent_nano_eur), 0)::bigint, coalesce(sum(p.held_nano_eur), 0)::bigint,
        coalesce((select sum(amount_nano_eur) from billing_credit_ending where tenant_id = %(tenant)s), 0)::bigint
    from billing_budget b left join billing_budget_period p on p.budget_id = b.id
    where b.tenant_id = %(tenant)s and b.source = 'credit' having count(*) > 0
"""
_LOTS = "select * from billing_credit_lots_v1(%s) order by created_at desc, lot_id desc limit %s"
_MOVEMENTS = """
    select e.id, e.kind, e.amount_nano_eur, e.reason, e.created_at, c.expires_at, p.received_on, p.reference,
        o.purchase_order, p.order_id
    from billing_credit_entry c join billing_ledger_entry e on e.id = c.entry_id
    left join billing_creditpayment p on p.entry_id = e.id left join billing_creditorder o on o.id = p.order_id
    where c.tenant_id = %s order by e.created_at desc, e.id desc limit %s
"""


def _first_id(instant: str) -> str:
    """The lowest UUIDv7 of an instant, well before it: the id is made before the request is admitted."""
    milliseconds = f"greatest((extract(epoch from {instant}) * 1000)::bigint, 0)"
    return f"rpad(lpad(to_hex({milliseconds}), 12, '0'), 32, '0')::uuid"


_UP = "interval '1 hour' - interval '1 microsecond'"
# Whole hours by their sums, the rest by the records. A month is cut by the hours that begin in it, as statements are.
_USED = f"""
    with bound as (
        select date_trunc('hour', %(since)s + {_UP}, 'UTC') as first,
            date_trunc('hour', %(until)s + {_UP}, 'UTC') as last
    ), span as (
        select greatest(b.created_at, first) as since, least(coalesce(b.ended_at, last), last) as until
        from billing_budget b, bound where b.tenant_id = %(tenant)s and b.source = 'credit'
    ), cut as (
        select since, until,
            least(date_trunc('hour', since + {_UP}, 'UTC'), until) as begun,
            greatest(date_trunc('hour', until, 'UTC'), since) as ended
        from span where since < until
    ), edge as (
        select since, begun as until from cut union all select greatest(ended, begun), until from cut
    )
    select coalesce((
        select sum(u.cost_nano_eur) from cut join billing_usage_hour u
            on u.tenant_id = %(tenant)s and u.hour >= cut.begun and u.hour < cut.ended
    ), 0) + coalesce((
        select sum(r.cost_nano_eur) from edge join billing_usage_record r
            on r.tenant_id = %(tenant)s and r.admitted_at >= edge.since and r.admitted_at < edge.until
            and r.request_id >= {_first_id("edge.since - interval '2 hours'")}
            and r.request_id < {_first_id("edge.until + interval '2 hours'")}
        where edge.since < edge.until
    ), 0) - coalesce((
        select sum(f.amount_nano_eur) from billing_budget b join billing_budget_period p on p.budget_id = b.id
        join billing_refunded_period f on f.period_id = p.id join billing_ledger_entry e on e.id = f.entry_id
        where b.tenant_id = %(tenant)s and b.source = 'credit'
            and e.created_at >= %(since)s and e.created_at < %(until)s
    ), 0)
"""  # noqa: S608  # constants of ours

# Credit that is older than the last closed month, and is left, or moved since: a part of it is billed by what was said.
_BETWEEN_BILLS = """
    select t.name from identity_tenant t cross join lateral (
        select max(c.ends_at) as until from billing_closing c where c.tenant_id = t.id and c.state = 'issued'
    ) closed
    where t.closed_at is null and exists (
        select from billing_credit_entry c join billing_ledger_entry e on e.id = c.entry_id
        where c.tenant_id = t.id and e.created_at < closed.until
    ) and (
        billing_credited_v1(t.id) <> (
            select coalesce(sum(p.spent_nano_eur), 0) from billing_budget b
            join billing_budget_period p on p.budget_id = b.id where b.tenant_id = t.id and b.source = 'credit'
        )
        or exists (select from billing_usage_hour u where u.tenant_id = t.id and u.hour >= closed.until)
        or exists (
            select from billing_credit_entry c join billing_ledger_entry e on e.id = c.entry_id
            where c.tenant_id = t.id and e.created_at >= closed.until
        )
    )
    order by 1
"""


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant's credit. `is_in_use`: requests are paid from it; else it rests.

    credited: all entries; spent and held: of requests; ending: past its time and still held by requests under way
    """

    is_in_use: bool
    credited_nano_eur: int
    spent_nano_eur: int
    held_nano_eur: int
    ending_nano_eur: int

    @property
    def balance_nano_eur(self) -> int:
        """What is not spent."""
        return self.credited_nano_eur - self.spent_nano_eur

    @property
    def is_used_up(self) -> bool:
        """Whether requests are refused, as nothing is left for them."""
        return self.is_in_use and not self.free_nano_eur

    @property
    def free_nano_eur(self) -> int:
        """What new requests may still hold."""
        return max(self.balance_nano_eur - self.held_nano_eur - self.ending_nano_eur, 0)


@dataclass(frozen=True, slots=True)
class Lot:
    """What came in at once, and what is left of it; the oldest lot is used first. `expires_at` None: never."""

    id: UUID
    kind: str
    created_at: datetime
    expires_at: datetime | None
    amount_nano_eur: int
    expired_nano_eur: int
    left_nano_eur: int

    @property
    def used_nano_eur(self) -> int:
        """What requests and what was taken back used of it."""
        return self.amount_nano_eur - self.expired_nano_eur - self.left_nano_eur

    @property
    def last_moment(self) -> datetime | None:
        """In the last of its days, of whoever's calendar."""
        return self.expires_at - timedelta(seconds=1) if self.expires_at else None


@dataclass(frozen=True, slots=True)
class Movement:
    """An entry of the ledger that is credit, with what is known of its payment."""

    id: UUID
    kind: str
    amount_nano_eur: int
    reason: str
    created_at: datetime
    expires_at: datetime | None
    received_on: date | None
    reference: str | None
    purchase_order: str | None
    order_id: int | None


@dataclass(frozen=True, slots=True)
class TopUp:
    """A payment that was recorded. `paid_at`: when it became credit; `received_on`: when the money came."""

    entry_id: UUID
    amount_nano_eur: int
    paid_at: datetime
    received_on: date
    reference: str
    purchase_order: str


def credit_used(tenant: Tenant, since: datetime, until: datetime) -> int:
    """What of the charges of that time was paid out of prepaid credit, less what was given back of it then."""
    with connection.cursor() as cursor:
        cursor.execute(_USED, {"tenant": tenant.pk, "since": since, "until": until})
        return int(cursor.fetchone()[0])


def top_ups_paid(tenant: Tenant, month: date) -> list[TopUp]:
    """The payments that were recorded in the month, given by any day of it (the tenant's), the oldest first."""
    since, until = month_of(tenant, month)
    found = CreditPayment.objects.filter(tenant=tenant, recorded_at__gte=since, recorded_at__lt=until)
    return [
        TopUp(
            entry_id=one.entry_id,
            amount_nano_eur=one.amount_nano_eur,
            paid_at=one.recorded_at,
            received_on=one.received_on,
            reference=one.reference,
            purchase_order=one.order.purchase_order if one.order else "",
        )
        for one in found.select_related("order").order_by("recorded_at", "entry_id")
    ]


def credit_between_bills() -> list[str]:
    """Names of organisations whose credit is billed in part: for them it is too late to invoice it at another time."""
    with connection.cursor() as cursor:
        cursor.execute(_BETWEEN_BILLS)
        return [name for (name,) in cursor.fetchall()]


def account_of(tenant: Tenant) -> Account | None:
    """The tenant's credit; None where it never had any."""
    with connection.cursor() as cursor:
        cursor.execute(_ACCOUNT, {"tenant": tenant.pk})
        row = cursor.fetchone()
    return Account(*row) if row else None


def lots_of(tenant: Tenant, *, size: int = MOST_SHOWN) -> list[Lot]:
    """The newest lots, the newest first."""
    with connection.cursor() as cursor:
        cursor.execute(_LOTS, [tenant.pk, size])
        return [Lot(*row) for row in cursor.fetchall()]


def movements_of(tenant: Tenant, *, size: int = MOST_SHOWN) -> list[Movement]:
    """The newest entries, the newest first."""
    with connection.cursor() as cursor:
        cursor.execute(_MOVEMENTS, [tenant.pk, size])
        return [Movement(*row) for row in cursor.fetchall()]


class BankAccount(NamedTuple):
    """To whom money is transferred."""

    holder: str
    iban: str
    bic: str


def orders_of(tenant: Tenant, *, size: int = MOST_SHOWN) -> Sequence[CreditOrder]:
    """The newest orders, the newest first, with the bank account as it is said now (`bank_account_of`)."""
    said = BillingSettings.objects.filter(is_the_one=True)
    bank = {field: Subquery(said.values(field)[:1]) for field in BANK_FIELDS}
    found = CreditOrder.objects.filter(tenant=tenant).select_related("tier", "payment", "ordered_by").annotate(**bank)
    return list(found.order_by("-pk")[:size])


def bank_account_of(order: CreditOrder) -> BankAccount | None:
    """Where an order of `orders_of` is paid; None where nobody sells, it is not open, or no IBAN is said."""
    known: Any = order
    house = service()
    if house.trade != Service.Trade.SELLER or order.state != CreditOrder.State.OPEN or not known.iban:
        return None
    return BankAccount(known.account_name or house.legal_name or house.title, known.iban, known.bic)

"""Adds invoices up again, against the ledger (I2, I4, I7): for `billing/checks/verification.py`, in its snapshot.

Of each issued document: its lines are as many as it says, their exact amounts, their cents and the contents that were
hashed agree; each line of an entry has that entry's amount. Of each closed month: what was billed of it is no more than
the ledger's sums of its period, and each entry of it is on an invoice. Numbers of a series have no gap. What the ledger
has beyond what was billed is late usage: it is told where the month after is closed as well and still lacks it. A month
that was closed below zero is carried over: it is on the bill of a later one, and only then looked for.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from billing.checks.verification import Cursor, Difference

_SUMS = """
    select i.number, i.line_count, i.exact_nano_eur, i.net_cents, l.lines, l.exact, l.cents
    from billing_invoice i left join lateral (
        select count(*) as lines, coalesce(sum(l.exact_nano_eur), 0) as exact, coalesce(sum(l.net_cents), 0) as cents
        from billing_invoiceline l where l.invoice_id = i.id
    ) l on true
    where (i.line_count, i.exact_nano_eur, i.net_cents) is distinct from (l.lines, l.exact, l.cents)
    order by i.id limit 1000
"""
_ROUNDED = """
    select i.number, l.position, l.exact_nano_eur, l.net_cents from billing_invoiceline l
    join billing_invoice i on i.id = l.invoice_id
    where abs(l.net_cents * 10000000 - l.exact_nano_eur) * 2 > 10000000
        or (abs(l.net_cents * 10000000 - l.exact_nano_eur) * 2 = 10000000 and l.net_cents % 2 <> 0)
    order by i.id, l.position limit 1000
"""
_HASHED = """
    select number, sha256, encode(sha256(convert_to(contents, 'UTF8')), 'hex') from billing_invoice
    where sha256 <> encode(sha256(convert_to(contents, 'UTF8')), 'hex')
        or (contents::json ->> 'net_cents')::bigint <> net_cents
        or (contents::json ->> 'gross_cents')::bigint <> gross_cents
        or json_array_length(contents::json -> 'lines') <> line_count
    order by id limit 1000
"""
_ENTRIES = """
    select i.number, l.position, e.id is not null,
        case e.kind when 'refund' then -1 else 1 end * e.amount_nano_eur, l.exact_nano_eur
    from billing_invoiceline l join billing_invoice i on i.id = l.invoice_id
    left join billing_ledger_entry e on e.id = l.entry_id and e.tenant_id = l.tenant_id
    where l.entry_id is not null
        and (e.id is null or l.exact_nano_eur <> case e.kind when 'refund' then -1 else 1 end * e.amount_nano_eur)
    order by i.id, l.position limit 1000
"""
# Of each closed month: the ledger's sums, by whole days (UTC) and by the hours at both ends; what was billed; whether a
# later month was closed since.
_MONTHS = """
    with closed as (
        select c.*, date_trunc('day', c.starts_at + interval '1 day' - interval '1 microsecond', 'UTC') as first_day,
            date_trunc('day', c.ends_at, 'UTC') as end_day
        from billing_closing c where c.state = 'issued'
    ), found as (
        select c.tenant_id, c.month, c.issued_at,
            coalesce((select sum(cost_nano_eur) from billing_usage_day u where u.tenant_id = c.tenant_id
                and u.day >= c.first_day and u.day < c.end_day), 0)
            + coalesce((select sum(cost_nano_eur) from billing_usage_hour u where u.tenant_id = c.tenant_id
                and u.hour >= c.starts_at and u.hour < least(c.first_day, c.ends_at)), 0)
            + coalesce((select sum(cost_nano_eur) from billing_usage_hour u where u.tenant_id = c.tenant_id
                and u.hour >= greatest(c.end_day, c.first_day) and u.hour < c.ends_at), 0) as used,
            coalesce((select sum(l.exact_nano_eur) from billing_invoiceline l
                where l.tenant_id = c.tenant_id and l.covers_month = c.month and l.kind in ('usage', 'uncharged')
                    and l.credits_id is null), 0) as billed,
            exists (select from billing_closing n where n.tenant_id = c.tenant_id and n.state = 'issued'
                and n.month > c.month
                and (n.lines = 0 or exists (select from billing_invoice i where i.closing_id = n.id))) as has_later
        from closed c
    )
    select tenant_id, month, used, billed from found
    where billed > used or (has_later and billed <> used) order by tenant_id, month limit 1000
"""
_UNBILLED = """
    select e.id, e.tenant_id, e.kind from billing_ledger_entry e
    where e.kind in ('refund', 'correction', 'fee')
        and not exists (select from billing_credit_entry c where c.entry_id = e.id) and exists (
        select from billing_closing c where c.tenant_id = e.tenant_id and c.state = 'issued'
            and e.created_at >= c.starts_at and e.created_at < c.ends_at and e.created_at < c.issued_at
            and exists (select from billing_closing n where n.tenant_id = c.tenant_id and n.state = 'issued'
                and n.month >= c.month
                and (n.lines = 0 or exists (select from billing_invoice i where i.closing_id = n.id)))
    ) and not exists (select from billing_invoiceline l where l.entry_id = e.id)
    order by e.created_at limit 1000
"""
_SERIES = """
    select s.code, s.last, count(i.id), max(substring(i.number from '[0-9]+$')::bigint)
    from billing_invoiceseries s left join billing_invoice i on i.series = s.code
    group by s.code, s.last
    having s.last <> count(i.id) or s.last <> coalesce(max(substring(i.number from '[0-9]+$')::bigint), 0)
"""
_OVERCREDITED = """
    select i.number, l.position, l.exact_nano_eur, sum(c.exact_nano_eur) from billing_invoiceline l
    join billing_invoice i on i.id = l.invoice_id join billing_invoiceline c on c.credits_id = l.id
    group by i.number, l.position, l.exact_nano_eur, l.id
    having abs(sum(c.exact_nano_eur)) > abs(l.exact_nano_eur)
    limit 1000
"""

Differ = Callable[[str, str, str, str], "Difference"]


def invoice_differences(cursor: "Cursor", differ: Differ) -> Iterator["Difference"]:
    """Every difference; `differ` makes one of what, where, what is expected and what was found."""
    for number, count, exact, net, lines, found, cents in _rows(cursor, _SUMS):
        expected = f"{count} lines, {exact} nano-EUR, {net} cents"
        yield differ("invoice", number, expected, f"{lines} lines, {found} nano-EUR, {cents} cents")
    for number, position, exact, net in _rows(cursor, _ROUNDED):
        yield differ("invoice line's cents", f"{number}, line {position}", f"{exact} nano-EUR rounded", f"{net} cents")
    for number, sha256, found in _rows(cursor, _HASHED):
        yield differ("invoice's contents", number, sha256, found)
    for number, position, is_there, amount, exact in _rows(cursor, _ENTRIES):
        expected = f"{amount} nano-EUR, as its entry of the ledger" if is_there else "an entry of the ledger"
        yield differ("invoice line", f"{number}, line {position}", expected, f"{exact} nano-EUR")
    for number, position, exact, credited in _rows(cursor, _OVERCREDITED):
        yield differ("credited", f"{number}, line {position}", f"at most {exact} nano-EUR", f"{credited} nano-EUR")
    yield from _month_differences(cursor, differ)


def _month_differences(cursor: "Cursor", differ: Differ) -> Iterator["Difference"]:
    for tenant, month, used, billed in _rows(cursor, _MONTHS):
        yield differ("billed", f"month {month:%Y-%m} of tenant {tenant}", str(used), str(billed))
    for entry, tenant, kind in _rows(cursor, _UNBILLED):
        yield differ("ledger entry", f"{kind} {entry} of tenant {tenant}", "a line of an invoice", "none")
    for code, last, count, highest in _rows(cursor, _SERIES):
        yield differ("series", code, f"numbers 1 to {last}", f"{count} of them, the highest {highest}")


def _rows(cursor: "Cursor", query: str) -> list[tuple[Any, ...]]:
    cursor.execute(query)
    return cursor.fetchall()

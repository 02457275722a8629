"""The queries behind `billing/checks/verification.py`: each adds up rows, or finds those that do not add up.

Written apart from the functions that move money, and from `billing/pricing.py`: an error in those is not repeated here.
Partition names come from PostgreSQL's catalog and need no quoting.
"""

# ruff: noqa: S608  # the only names put into a query are PostgreSQL's own and ours; no value ever is

import itertools

from billing.pricing import METERS, MINUTE_MS, UNITS_PER_PRICE

# A request's id is made before it waits for its admission (15 s), by another clock than the database's (2 s off).
_ID_MARGIN = "interval '1 hour'"
# Around the instant in which a budget was made or removed, an admission under way may have seen it or not: a budget's
# own time is taken before the commit, an admission's when its transaction begins, perhaps by another clock (2 s off).
_EDGE = "interval '3 seconds'"
_NOT_CHARGED = "('client_left_early', 'engine_failed', 'engine_refused', 'undelivered', 'unmetered')"

_KEYS = "hour, tenant_id, project_id, key_id, model_id, mode"
_QUANTITIES = [f"{meter}_quantity" for meter in METERS]
_SUMS = ["requests", "failed_requests", *_QUANTITIES, "cost_nano_eur", "uncharged_nano_eur"]
_SEALED = f"{_KEYS}, {', '.join(_SUMS)}, digest"

MAKE_TABLES = f"""
    create temporary table recounted_hour on commit drop as
        select {_KEYS}, {", ".join(f"{name}::numeric as {name}" for name in _SUMS)} from billing_usage_hour limit 0;
    create temporary table recounted_label on commit drop as select * from billing_usage_label limit 0;
    create temporary table detached_month (month date) on commit drop;
    create temporary table recounted_scope (scope text, scope_id bigint, hour timestamptz, cost numeric) on commit drop;
"""

PARTITIONS = """
    select c.relname::text, pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'billing_usage_record'::regclass order by 1
"""


def count_rows(partition: str) -> str:
    """How many records the partition has."""
    return f"select count(*) from {partition}"


def add_hours(partition: str) -> str:
    """Adds the partition's records up by the hour of their admission, into `recounted_hour`."""
    quantities = ", ".join(f"sum({name})" for name in _QUANTITIES)
    return f"""
        insert into recounted_hour ({_KEYS}, {", ".join(_SUMS)})
        select date_trunc('hour', admitted_at, 'UTC'), tenant_id, project_id, key_id, model_id, mode,
            count(*), count(*) filter (where http_status >= 400), {quantities},
            sum(cost_nano_eur), sum(uncharged_nano_eur)
        from {partition} group by 1, 2, 3, 4, 5, 6
    """


def seal_hours(partition: str) -> str:
    """Seals a partition's records by the hour of their admission; the month is the only parameter."""
    hours = _hours_to_seal(partition)
    return f"insert into billing_sealed_hour (month, {_SEALED}) select %s, {_SEALED} from ({hours}) h"


def broken_seals(partition: str) -> str:
    """Hours of a sealed partition whose rows are not what was sealed; the month is the only parameter."""
    return f"""
        select {_KEYS}, {_pairs("s", "r")}, encode(s.digest, 'hex'), encode(r.digest, 'hex')
        from (select * from billing_sealed_hour where month = %s) s
        full join ({_hours_to_seal(partition)}) r using ({_KEYS})
        where ({_columns("r")}, r.digest) is distinct from ({_columns("s")}, s.digest)
    """


def _hours_to_seal(partition: str) -> str:
    quantities = ", ".join(f"sum({name}) as {name}" for name in _QUANTITIES)
    return f"""
        select date_trunc('hour', r.admitted_at, 'UTC') as hour, tenant_id, project_id, key_id, model_id, mode,
            count(*) as requests, count(*) filter (where http_status >= 400) as failed_requests, {quantities},
            sum(cost_nano_eur) as cost_nano_eur, sum(uncharged_nano_eur) as uncharged_nano_eur,
            sha256(string_agg(billing_usage_digest_v1(r), '' order by r.request_id)) as digest
        from {partition} r group by 1, 2, 3, 4, 5, 6
    """


def prices(partition: str) -> str:
    """Records whose amounts are not their quantities at the prices of their version (I4).

    The exact sum up to each meter is rounded half-even to a nano-EUR; an amount is what its meter adds to that.
    Columns: request_id, tenant_id, whether a price is missing, amounts as stored, as they should be, cost, uncharged.
    """
    products = ", ".join(f"coalesce(r.{meter}_quantity * p.{meter}, 0) as {meter}" for meter in METERS)
    sums = ", ".join(f"{_up_to(number)} as {meter}" for number, meter in enumerate(METERS))
    rounded = ", ".join(f"{_half_even(f'sum.{meter}')} as {meter}" for meter in METERS)
    unpriced = " or ".join(f"r.{meter}_quantity > 0 and p.{meter} is null" for meter in METERS)
    stored = ", ".join(f"r.{meter}_nano_eur" for meter in METERS)
    return f"""
        with given as (
            select version_id, {", ".join(_given(meter) for meter in METERS)}
            from billing_meterprice group by version_id
        ), price as (
            select version_id, input, coalesce(cached, input) as cached, output,
                coalesce(reasoning, output) as reasoning, audio_ms, documents, images from given
        )
        select * from (
            select r.request_id, r.tenant_id, coalesce({unpriced}, false) as unpriced,
                array[{stored}]::numeric[] as stored, array[{_steps("rounded")}] as expected,
                r.cost_nano_eur, r.uncharged_nano_eur
            from {partition} r left join price p on p.version_id = r.price_version_id
            cross join lateral (select {products} offset 0) product
            cross join lateral (select {sums} offset 0) sum
            cross join lateral (select {rounded} offset 0) rounded
            where {unpriced} or array[{stored}]::numeric[] <> array[{_steps("rounded")}]
                or r.cost_nano_eur + r.uncharged_nano_eur <> rounded.{METERS[-1]}
        ) wrong
    """


def charged_for_nothing(partition: str) -> str:
    """Records of requests that cost nothing, whatever their engine said, and have a cost (I2 c, e, h)."""
    quantities = " + ".join(_QUANTITIES)
    return f"""
        select request_id, tenant_id, status, cost_nano_eur + uncharged_nano_eur from {partition}
        where status in {_NOT_CHARGED} and (cost_nano_eur + uncharged_nano_eur <> 0 or {quantities} <> 0)
    """


def broken_minutes(partition: str) -> str:
    """Records with audio that is no whole number of minutes, though their price bills it by started minute."""
    return f"""
        select r.request_id, r.tenant_id, r.audio_ms_quantity from {partition} r
        join billing_priceversion v on v.id = r.price_version_id and v.audio_by_started_minute
        where r.audio_ms_quantity % {MINUTE_MS} <> 0
    """


def odd_times(partition: str) -> str:
    """Records that cannot have happened when they say, or lie where nobody looks for them."""
    made = "to_timestamp(('x' || translate(left(request_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0)"
    return f"""
        select request_id, tenant_id, admitted_at, settled_at from {partition}
        where settled_at < admitted_at or admitted_at not between {made} - {_ID_MARGIN} and {made} + {_ID_MARGIN}
    """


def repeated(partition: str) -> str:
    """Requests with more than one record. (An id has one partition: PostgreSQL put it there by it.)"""
    return f"select request_id, count(*) from {partition} group by 1 having count(*) > 1"


def _given(meter: str) -> str:
    return f"max(nano_eur_per_million::numeric) filter (where meter = '{meter}') as {meter}"


def _up_to(number: int) -> str:
    return " + ".join(f"product.{meter}" for meter in METERS[: number + 1])


def _steps(sums: str) -> str:
    steps = [f"{sums}.{after} - {sums}.{before}" for before, after in itertools.pairwise(METERS)]
    return ", ".join([f"{sums}.{METERS[0]}", *steps])


def _half_even(exact: str) -> str:
    """`exact` / 1,000,000, rounded half-even. PostgreSQL's own `round` goes away from zero."""
    whole, rest = f"div({exact}, {UNITS_PER_PRICE})", f"mod({exact}, {UNITS_PER_PRICE}) * 2"
    return f"""{whole} + case when {rest} > {UNITS_PER_PRICE} then 1
        when {rest} = {UNITS_PER_PRICE} then mod({whole}, 2) else 0 end"""


def _columns(table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in _SUMS)


def _pairs(expected: str, found: str) -> str:
    return ", ".join(f"coalesce({table}.{name}, 0)" for table in (expected, found) for name in _SUMS)


def _first_id(time: str) -> str:
    """The lowest UUIDv7 of an instant (RFC 9562, 5.7), as the partitions are cut."""
    milliseconds = f"greatest((extract(epoch from {time}) * 1000)::bigint, 0)"
    return f"rpad(lpad(to_hex({milliseconds}), 12, '0'), 32, '0')::uuid"


_SUMMED = ", ".join(f"sum({name}) as {name}" for name in _SUMS)
HOURS = f"""
    select {_KEYS}, {_pairs("r", "u")}
    from (select {_KEYS}, {_SUMMED} from recounted_hour group by {_KEYS}) r
    full join billing_usage_hour u using ({_KEYS})
    where ({_columns("r")}) is distinct from ({_columns("u")})
"""

_DAY_KEYS = "day, tenant_id, project_id, model_id, mode"
DAYS = f"""
    select {_DAY_KEYS}, {_pairs("r", "u")}
    from (
        select date_trunc('day', hour, 'UTC') as day, tenant_id, project_id, model_id, mode, {_SUMMED}
        from recounted_hour group by {_DAY_KEYS}
    ) r full join billing_usage_day u using ({_DAY_KEYS})
    where ({_columns("r")}) is distinct from ({_columns("u")})
"""

# Whether a month that ends then is over (with time for the last admissions of its ids), and has requests under way.
IS_CLOSED = f"""
    select now() >= %s + {_ID_MARGIN},
        exists (select from billing_hold where request_id < {_first_id("%s::timestamptz")})
"""

# What the sealed hours of a month add up to, and its digest: `billing/checks/sealing.py` says of what.
MONTH_TOTALS = f"""
    select coalesce(sum(requests), 0), coalesce(sum(cost), 0), coalesce(sum(uncharged), 0),
        sha256(coalesce(string_agg(digest, '' order by hour), ''))
    from (
        select hour, sum(requests) as requests, sum(cost_nano_eur) as cost, sum(uncharged_nano_eur) as uncharged,
            sha256(string_agg(sha256(convert_to(row(
                extract(epoch from hour), {", ".join(_KEYS.split(", ")[1:] + _SUMS)}, encode(digest, 'hex')
            )::text, 'UTF8')), '' order by tenant_id, project_id, key_id, model_id, mode collate "C")) as digest
        from billing_sealed_hour where month = %s group by hour
    ) by_hour
"""

SEAL_MONTH = f"""
    insert into billing_sealed_month (month, requests, cost_nano_eur, uncharged_nano_eur, digest)
    select %s, t.* from ({MONTH_TOTALS}) t
"""

# Each sealed month: whether its rows are still in the ledger, and what was said when it was sealed.
SEALED_MONTHS = """
    select m.month, requests, cost_nano_eur, uncharged_nano_eur, encode(digest, 'hex'), e.detail ->> 'digest',
        exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'billing_usage_record'::regclass
                and c.relname = 'billing_usage_record_' || to_char(m.month, 'YYYY_MM'))
    from billing_sealed_month m
    left join identity_auditevent e on e.tenant_id is null and e.action = 'usage.sealed'
        and e.target = to_char(m.month, 'YYYY-MM')
    order by 1
"""

ADD_SEALED_HOURS = f"""
    insert into recounted_hour ({_KEYS}, {", ".join(_SUMS)})
    select {_KEYS}, {", ".join(_SUMS)} from billing_sealed_hour where month = %s
"""

ADD_DETACHED = "insert into detached_month values (%s)"

ADD_SCOPES = (
    "analyze recounted_hour;"
    + "".join(
        f"""
    insert into recounted_scope select '{scope}', {scope}_id, hour, sum(cost_nano_eur) from recounted_hour
        where {scope}_id in (select scope_id from billing_budget where scope = '{scope}') group by 2, 3;
    """
        for scope in ("tenant", "project", "key")
    )
    + "create index on recounted_scope (scope, scope_id, hour); analyze recounted_scope;"
)


def _cost(since: str, until: str) -> str:
    """What the requests of `w`'s scope cost that were admitted in `[since, until)`: the whole hours, and the rest."""
    first_hour = f"date_trunc('hour', {since} + interval '1 hour' - interval '1 microsecond', 'UTC')"
    last_hour = f"date_trunc('hour', {until}, 'UTC')"
    edges = ((since, f"least({first_hour}, {until})"), (f"greatest({last_hour}, {first_hour})", until))
    return f"""(
        coalesce((select sum(s.cost) from recounted_scope s where s.scope = w.scope and s.scope_id = w.scope_id
            and s.hour >= {first_hour} and s.hour < {last_hour}), 0)
        + {" + ".join(_cost_of_records(*edge) for edge in edges)}
    )"""


def _cost_of_records(since: str, until: str) -> str:
    return " + ".join(
        f"""coalesce((select sum(r.cost_nano_eur) from billing_usage_record r
            where {since} < {until} and {whose} and r.admitted_at >= {since} and r.admitted_at < {until}
                and r.request_id >= {_first_id(f"{since} - {_ID_MARGIN}")}
                and r.request_id < {_first_id(f"{until} + {_ID_MARGIN}")}), 0)"""
        for whose in (
            "w.scope = 'key' and r.key_id = w.scope_id",
            "w.scope <> 'key' and r.tenant_id = w.tenant_id and (w.scope = 'tenant' or r.project_id = w.scope_id)",
        )
    )


_IN_DETACHED_EDGES = """coalesce((
        select sum(s.cost) from recounted_scope s where s.scope = w.scope and s.scope_id = w.scope_id
            and s.hour in (select date_trunc('hour', edge, 'UTC') from unnest(array[w.since, w.until]) edge
                where edge <> date_trunc('hour', edge, 'UTC'))
            and date_trunc('month', s.hour, 'UTC') in (select month::timestamp at time zone 'UTC' from detached_month)
    ), 0)"""

# Where a budget was made or removed in the middle of a period, it counts from and up to then; and where requests of its
# scope came at that very time, nobody can tell which side they were on: then the sum has to lie between the two. So it
# is in the hour of such an instant, once only the sealed totals of the hours are left of a month. What was given back
# is no longer spent: each refund says from which periods.
SPENT = f"""
    with w as (
        select p.id, p.budget_id, b.scope, b.scope_id, b.tenant_id, p.starts_at,
            p.spent_nano_eur + coalesce((
                select sum(f.amount_nano_eur) from billing_refunded_period f where f.period_id = p.id
            ), 0) as spent,
            greatest(p.starts_at, b.created_at) as since,
            greatest(least(p.ends_at, b.ended_at), greatest(p.starts_at, b.created_at)) as until,
            b.created_at > p.starts_at - {_EDGE} as begins_late,
            b.ended_at < p.ends_at + {_EDGE} as ends_early,
            not b.is_active and b.ended_at is null as ended_once
        from billing_budget_period p join billing_budget b on b.id = p.budget_id
    ), wrong as (
        select w.*, e.exact from w cross join lateral (select {_cost("w.since", "w.until")} as exact offset 0) e
        where w.spent <> e.exact
    ), bounded as (
        select w.*, case when w.ended_once then 0
                else w.exact - e.before_end - case when e.before > 0 then e.after else 0 end end as low,
            w.exact + e.before + e.after_end + e.unknown as high
        from wrong w cross join lateral (select
            case when w.begins_late then {_cost(f"w.since - {_EDGE}", "w.since")} else 0 end as before,
            case when w.begins_late then {_cost("w.since", f"least(w.since + {_EDGE}, w.until)")} else 0 end as after,
            case when w.ends_early then {_cost(f"greatest(w.until - {_EDGE}, w.since)", "w.until")}
                else 0 end as before_end,
            case when w.ends_early then {_cost("w.until", f"w.until + {_EDGE}")} else 0 end as after_end,
            {_IN_DETACHED_EDGES} as unknown
            offset 0) e
    )
    select id, budget_id, scope, scope_id, starts_at, low, high, spent from bounded where spent not between low and high
"""

HELD = """
    select p.id, coalesce(p.budget_id, 0), coalesce(h.held, 0), coalesce(p.held_nano_eur, 0)
    from billing_budget_period p
    full join (
        select u.id, sum(h.amount_nano_eur) as held
        from billing_hold h cross join unnest(h.period_ids) u (id) group by 1
    ) h on h.id = p.id
    where coalesce(h.held, 0) <> coalesce(p.held_nano_eur, 0)
"""

OVERSHOT = """
    select id, budget_id, cap_nano_eur, spent_nano_eur + held_nano_eur from billing_budget_period
    where spent_nano_eur + held_nano_eur > cap_nano_eur
"""

HELD_AND_SETTLED = """
    select h.request_id, h.tenant_id from billing_hold h join billing_usage_record r on r.request_id = h.request_id
"""

ENTRIES_TWICE = """
    select tenant_id, idempotency_key, count(*) from billing_ledger_entry group by 1, 2 having count(*) > 1
"""

ENTRIES_ABOUT_NOTHING = f"""
    select e.id, e.tenant_id, e.request_id from billing_ledger_entry e
    left join billing_usage_record r on r.request_id = e.request_id and r.tenant_id = e.tenant_id
    where e.request_id is not null and r.request_id is null and not exists (
        select from detached_month d where e.request_id >= {_first_id("d.month::timestamp at time zone 'UTC'")}
            and e.request_id < {_first_id("(d.month + interval '1 month') at time zone 'UTC'")})
"""

# What a period gave back, without a refund of at least as much.
REFUNDED_FOR_NOTHING = """
    select f.period_id, f.entry_id, f.amount_nano_eur, coalesce(e.amount_nano_eur, 0)
    from billing_refunded_period f left join billing_ledger_entry e on e.id = f.entry_id and e.kind = 'refund'
    where f.amount_nano_eur > coalesce(e.amount_nano_eur, 0)
"""

# The limits of a tenant's credit budgets are its entries, less what is past its end and still held (decision 0014).
_CREDITED = """
    select c.tenant_id, sum(e.amount_nano_eur) as credited
    from billing_credit_entry c join billing_ledger_entry e on e.id = c.entry_id group by 1
"""
CREDIT_LIMITS = f"""
    select coalesce(c.tenant_id, b.tenant_id, n.tenant_id), coalesce(c.credited, 0), coalesce(n.ending, 0),
        coalesce(b.limits, 0)
    from ({_CREDITED}) c
    full join (
        select tenant_id, sum(limit_nano_eur) as limits from billing_budget where source = 'credit' group by 1
    ) b on b.tenant_id = c.tenant_id
    full join (
        select tenant_id, sum(amount_nano_eur) as ending from billing_credit_ending group by 1
    ) n on n.tenant_id = coalesce(c.tenant_id, b.tenant_id)
    where coalesce(c.credited, 0) - coalesce(n.ending, 0) <> coalesce(b.limits, 0)
"""

CREDIT_OVERDRAWN = f"""
    select b.tenant_id, coalesce(c.credited, 0), b.used
    from (
        select b.tenant_id, sum(p.spent_nano_eur + p.held_nano_eur) as used
        from billing_budget b join billing_budget_period p on p.budget_id = b.id where b.source = 'credit' group by 1
    ) b left join ({_CREDITED}) c on c.tenant_id = b.tenant_id
    where b.used > coalesce(c.credited, 0)
"""

# Entries of credit that are none of the ledger, or of another tenant; and top-ups and expiries that are no credit.
CREDIT_ENTRIES = """
    select coalesce(c.entry_id, e.id), coalesce(c.tenant_id, e.tenant_id),
        case when e.id is null then 'no entry' when c.entry_id is null then 'no credit' else 'another tenant' end
    from billing_credit_entry c full join billing_ledger_entry e on e.id = c.entry_id
    where c.entry_id is null and e.kind in ('top_up', 'expiry') or e.id is null or c.tenant_id <> e.tenant_id
"""

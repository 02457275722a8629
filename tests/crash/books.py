"""The sums of the ledger: what must hold of all rows together at every instant, read in one snapshot."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.crash.rules import Violation

# A request belongs to the period of its admission, on each budget of its key, project and tenant: found here from the
# record alone, not from what its hold said.
_BUDGETS = """
    select b.id, b.scope, p.spent_nano_eur, p.held_nano_eur, p.cap_nano_eur,
        (select coalesce(-sum(f.amount_nano_eur), 0) from billing_refunded_period f where f.period_id = p.id)
        + (select coalesce(sum(r.cost_nano_eur), 0) from billing_usage_record r
            where r.admitted_at >= p.starts_at and r.admitted_at < p.ends_at
            and b.scope_id = case b.scope when 'tenant' then r.tenant_id when 'project' then r.project_id
                else r.key_id end),
        (select coalesce(sum(h.amount_nano_eur), 0) from billing_hold h
            where h.admitted_at >= p.starts_at and h.admitted_at < p.ends_at
            and b.scope_id = case b.scope when 'tenant' then h.tenant_id when 'project' then h.project_id
                else h.key_id end)
    from billing_budget_period p join billing_budget b on b.id = p.budget_id order by p.id
"""
_ROLLUPS = """
    select coalesce(r.hour, u.hour), coalesce(r.key_id, u.key_id), r.told, u.told from (
        select date_trunc('hour', admitted_at, 'UTC') as hour, key_id, model_id, jsonb_build_array(count(*),
            count(*) filter (where http_status >= 400), sum(input_quantity), sum(cached_quantity), sum(output_quantity),
            sum(reasoning_quantity), sum(cost_nano_eur), sum(uncharged_nano_eur)) as told
        from billing_usage_record group by 1, 2, 3
    ) r full join (
        select hour, key_id, model_id, jsonb_build_array(sum(requests), sum(failed_requests), sum(input_quantity),
            sum(cached_quantity), sum(output_quantity), sum(reasoning_quantity), sum(cost_nano_eur),
            sum(uncharged_nano_eur)) as told
        from billing_usage_hour group by 1, 2, 3
    ) u using (hour, key_id, model_id) where r.told is distinct from u.told
"""
# The sums of a day are those of its hours, which are compared with the records above.
_DAYS = """
    select coalesce(h.day, d.day), coalesce(h.project_id, d.project_id), h.told, d.told from (
        select date_trunc('day', hour, 'UTC') as day, project_id, model_id, jsonb_build_array(sum(requests),
            sum(failed_requests), sum(input_quantity), sum(cached_quantity), sum(output_quantity),
            sum(reasoning_quantity), sum(cost_nano_eur), sum(uncharged_nano_eur)) as told
        from billing_usage_hour group by 1, 2, 3
    ) h full join (
        select day, project_id, model_id, jsonb_build_array(sum(requests), sum(failed_requests), sum(input_quantity),
            sum(cached_quantity), sum(output_quantity), sum(reasoning_quantity), sum(cost_nano_eur),
            sum(uncharged_nano_eur)) as told
        from billing_usage_day group by 1, 2, 3
    ) d using (day, project_id, model_id) where h.told is distinct from d.told
"""
_AT_ONCE = """
    select l.id, w.used, (select count(*) from billing_hold h where l.id = any(h.limit_ids))
    from billing_limit_window w join billing_limit l on l.id = w.limit_id where l.what = 'concurrent'
"""


@dataclass(frozen=True)
class Books:
    """What one snapshot said. `held`: the requests that are held, with the incarnation that holds each."""

    violations: tuple[Violation, ...]
    held: dict[str, str]
    recorded: frozenset[str]


def read_books(connection: psycopg.Connection[Any]) -> Books:
    """Compare all sums in one REPEATABLE READ transaction."""
    connection.rollback()
    connection.execute("set transaction isolation level repeatable read, read only")
    found = wrong_sums(connection)
    held = {str(row[0]): str(row[1]) for row in connection.execute("select request_id, incarnation from billing_hold")}
    recorded = frozenset(str(row[0]) for row in connection.execute("select request_id from billing_usage_record"))
    both = [Violation("I2 once", f"{request_id} is held and recorded") for request_id in recorded & held.keys()]
    connection.rollback()
    return Books((*found, *both), held, recorded)


def wrong_sums(connection: psycopg.Connection[Any]) -> list[Violation]:
    """Whatever does not add up, as the connection's transaction sees it."""
    return [*_budgets(connection), *_rollups(connection), *_requests_at_once(connection)]


def _budgets(connection: psycopg.Connection[Any]) -> Iterator[Violation]:
    for budget, scope, spent, held, cap, costs, holds in connection.execute(_BUDGETS):
        if spent != costs:
            yield Violation("I3 conservation", f"budget {budget} ({scope}): {spent} spent, the records cost {costs}")
        if held != holds:
            yield Violation("I3 conservation", f"budget {budget} ({scope}): {held} held, the holds add up to {holds}")
        if cap is not None and spent + held > cap:
            yield Violation("I3 cap", f"budget {budget} ({scope}): {spent} + {held} > {cap}")


def _rollups(connection: psycopg.Connection[Any]) -> Iterator[Violation]:
    for hour, key, records, rollup in connection.execute(_ROLLUPS):
        yield Violation("rollup", f"{hour} key {key}: the records say {records}, the rollup {rollup}")
    for day, project, hours, rollup in connection.execute(_DAYS):
        yield Violation("rollup", f"{day} project {project}: its hours say {hours}, the sums of the day {rollup}")


def _requests_at_once(connection: psycopg.Connection[Any]) -> Iterator[Violation]:
    for limit, used, held in connection.execute(_AT_ONCE):
        if used != held:
            yield Violation("limit", f"limit {limit}: {used} requests at once are counted, {held} are held")

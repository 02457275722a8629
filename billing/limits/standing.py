"""Where budgets and limits stand: what is spent, held and left, for pages and the API. Reads only; `admit` decides.

Periods and windows are cut by the database's clock in the tenant's time zone, as the ledger cuts them. One that no
request has opened yet, or whose time is over, stands at nothing used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

_PATH = """(x.scope = 'tenant' or (x.scope = 'project' and x.scope_id = %(project)s)
        or (x.scope = 'key' and x.scope_id = %(key)s))"""
_AFTER = "x.id > %(after)s"
_ON = "x.scope = %(scope)s and x.scope_id = any(%(ids)s)"

# More than a path can have: on each of its three places one a period (budgets) or window (limits) and source.
_MOST_ON_A_PATH = 1_000
# Of more projects, the first ones are looked at.
_MOST_ON_PROJECTS = 10_000

_BUDGETS = """
    select x.id, x.scope, x.scope_id, x.source, x.period, x.limit_nano_eur,
        coalesce(p.cap_nano_eur, case when x.is_hard then x.limit_nano_eur end) as cap_nano_eur,
        coalesce(p.spent_nano_eur, 0) as spent_nano_eur, coalesce(p.held_nano_eur, 0) as held_nano_eur,
        x.is_hard, x.may_lower_output, x.alert_percents,
        case when x.period <> 'once' then coalesce(p.starts_at, bounds.starts_at) end as starts_at,
        case when x.period <> 'once' then coalesce(p.ends_at, bounds.ends_at) end as resets_at,
        q.base_nano_eur, q.raised_until, q.actor, coalesce(nullif(by_person.name, ''), by_person.email, by_key.name)
    from billing_budget x
    join identity_tenant t on t.id = x.tenant_id
    left join billing_budget_period p on p.budget_id = x.id and p.ends_at > now()
    left join billing_budgetraise q on q.budget_id = x.id and q.ended_at is null
    left join identity_person by_person
        on by_person.pseudonym = case when q.actor_kind in ('person', 'operator') then q.actor::uuid end
    left join identity_apikey by_key on q.actor_kind = 'key' and by_key.lookup = q.actor
    left join lateral billing_period_bounds_v1(nullif(x.period, 'once'), t.time_zone, now()) bounds on true
    where x.tenant_id = %(tenant)s and x.is_active and {which}
    order by x.id limit %(size)s
"""
_FULLEST = f"""
    select * from ({_BUDGETS}) b
    order by (scope = 'tenant') desc, (spent_nano_eur + held_nano_eur)::numeric / greatest(limit_nano_eur, 1) desc, id
    limit %(most)s
"""  # noqa: S608  # a constant of ours
_ABOVE_KEYS = """(x.scope = 'tenant' and %(projects)s::bigint[] is null
        or x.scope = 'project' and (%(projects)s is null or x.scope_id = any(%(projects)s)))"""
_LIMITS = """
    select x.id, x.scope, x.scope_id, x.source, x.what, x.window, x.amount,
        case when w.ends_at > now() then w.used else 0 end as used,
        case when x.what = 'concurrent' then null
             when w.ends_at > now() then w.ends_at else bounds.ends_at end as resets_at
    from billing_limit x
    join identity_tenant t on t.id = x.tenant_id
    left join billing_limit_window w on w.limit_id = x.id
    left join lateral billing_period_bounds_v1(nullif(x.window, 'none'), t.time_zone, now()) bounds on true
    where x.tenant_id = %(tenant)s and x.is_active and {which}
    order by x.id limit %(size)s
"""


@dataclass(frozen=True, slots=True)
class Raised:
    """A raise that runs: the limit is `base_nano_eur` again from `until` on. `by`: a pseudonym or a key's id, and what
    that is called now; empty where it is not known.
    """

    base_nano_eur: int
    until: datetime
    by: str
    by_name: str


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """A budget in its current period; amounts in nano-EUR. `cap_nano_eur` None: it alerts and never refuses.

    `starts_at` and `resets_at` are None for a budget that is given once. `alert_percents`: of the limit, spent, at
    which people are told (`billing/limits/alerts.py`).
    """

    id: int
    scope: str
    scope_id: int
    source: str
    period: str
    limit_nano_eur: int
    cap_nano_eur: int | None
    spent_nano_eur: int
    held_nano_eur: int
    is_hard: bool
    may_lower_output: bool
    alert_percents: Sequence[int]
    starts_at: datetime | None
    resets_at: datetime | None
    raised: Raised | None

    @property
    def used_nano_eur(self) -> int:
        """Spent and held."""
        return self.spent_nano_eur + self.held_nano_eur

    @property
    def reached_percents(self) -> list[int]:
        """The thresholds that what is spent has reached in this period."""
        return [one for one in self.alert_percents if self.spent_nano_eur * 100 >= self.limit_nano_eur * one > 0]

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left, so that requests are refused."""
        return self.cap_nano_eur is not None and not self.left_nano_eur

    @property
    def left_nano_eur(self) -> int:
        """What may still be spent; below zero never, even where the limit was lowered under what is spent already."""
        return max(self.limit_nano_eur - self.used_nano_eur, 0)


@dataclass(frozen=True, slots=True)
class LimitStanding:
    """A limit in its current window. `used` counts `what` (requests, tokens, ...).

    `resets_at` None: it is freed by requests that end, not by time.
    """

    id: int
    scope: str
    scope_id: int
    source: str
    what: str
    window: str
    amount: int
    used: int
    resets_at: datetime | None

    @property
    def left(self) -> int:
        """How much may still be taken in this window."""
        return max(self.amount - self.used, 0)


def budgets_of_tenant(tenant_id: int, *, after: int = 0, size: int) -> list[BudgetStanding]:
    """At most `size` active budgets of the tenant, its projects and its keys, by id, after the id `after`."""
    return _budgets(_AFTER, {"tenant": tenant_id, "after": after, "size": size})


def budgets_on_path(tenant_id: int, project_id: int, key_id: int) -> list[BudgetStanding]:
    """The active budgets that bind a request of the key: its own, its project's, its tenant's."""
    return _budgets(_PATH, _path(tenant_id, project_id, key_id))


def fullest_budgets(tenant_id: int, project_ids: Sequence[int] | None, *, size: int) -> list[BudgetStanding]:
    """At most `size` active budgets: those of the tenant, then those of its projects (or only of the projects given),
    the one of which most is used first.
    """
    parameters = {"tenant": tenant_id, "projects": project_ids, "size": _MOST_ON_PROJECTS, "most": size}
    return [_standing(row) for row in _rows(_FULLEST.format(which=_ABOVE_KEYS), parameters)]


def budgets_of_projects(tenant_id: int, project_ids: Sequence[int]) -> list[BudgetStanding]:
    """The active budgets on these projects, by id."""
    return _budgets(_ON, {"tenant": tenant_id, "scope": "project", "ids": project_ids, "size": _MOST_ON_PROJECTS})


def budgets_on(tenant_id: int, scope: str, scope_id: int) -> list[BudgetStanding]:
    """The active budgets on one holder itself, by id."""
    return _budgets(_ON, {"tenant": tenant_id, "scope": scope, "ids": [scope_id], "size": _MOST_ON_A_PATH})


def limits_on(tenant_id: int, scope: str, scope_id: int) -> list[LimitStanding]:
    """The active limits on one holder itself, by id."""
    return _limits(_ON, {"tenant": tenant_id, "scope": scope, "ids": [scope_id], "size": _MOST_ON_A_PATH})


def limits_of_tenant(tenant_id: int, *, after: int = 0, size: int) -> list[LimitStanding]:
    """At most `size` active limits of the tenant, its projects and its keys, by id, after the id `after`."""
    return _limits(_AFTER, {"tenant": tenant_id, "after": after, "size": size})


def limits_on_path(tenant_id: int, project_id: int, key_id: int) -> list[LimitStanding]:
    """The active limits that bind a request of the key: its own, its project's, its tenant's."""
    return _limits(_PATH, _path(tenant_id, project_id, key_id))


def _path(tenant_id: int, project_id: int, key_id: int) -> dict[str, int]:
    return {"tenant": tenant_id, "project": project_id, "key": key_id, "size": _MOST_ON_A_PATH}


def _budgets(which: str, parameters: Mapping[str, Any]) -> list[BudgetStanding]:
    return [_standing(row) for row in _rows(_BUDGETS.format(which=which), parameters)]


def _standing(row: tuple[Any, ...]) -> BudgetStanding:
    *plain, base, until, by, name = row
    raised = None if until is None else Raised(base, until, by, name or "")
    return BudgetStanding(*(*plain, raised))


def _limits(which: str, parameters: Mapping[str, Any]) -> list[LimitStanding]:
    return [LimitStanding(*row) for row in _rows(_LIMITS.format(which=which), parameters)]


def _rows(query: str, parameters: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return rows

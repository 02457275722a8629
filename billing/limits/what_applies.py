"""Everything that bounds a key's requests: the budgets and limits of the key, its project and its organisation, side by
side, with what is used of each, and which of them a request would meet first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from billing.limits.standing import BudgetStanding, LimitStanding, Raised, budgets_on_path, limits_on_path
from billing.models import Limit, Scope
from identity.models import ApiKey

# The nearer a bound is to the request, the earlier it is named.
_NEARNESS = {Scope.KEY.value: 0, Scope.PROJECT.value: 1, Scope.TENANT.value: 2}


@dataclass(frozen=True, slots=True)
class Bound:
    """A budget (`what` is "money", figures in nano-EUR) or a limit (`what` as `Limit.What`).

    per: the period of a budget or the window of a limit
    source: "tier" came with the contract, "set" somebody set
    used: spent and held, or what is taken of the window
    raised: the raise of a budget that runs
    binds: of those about the same thing it has least left, so it refuses first
    """

    id: int
    what: str
    per: str
    scope: str
    source: str
    used: int
    held: int
    whole: int
    resets_at: datetime | None
    is_hard: bool
    raised: Raised | None = None
    binds: bool = False

    @property
    def left(self) -> int:
        """What may still be taken."""
        return max(self.whole - self.used, 0)

    @property
    def is_money(self) -> bool:
        """Whether the figures are nano-EUR."""
        return self.what == "money"


def what_applies(key: ApiKey) -> list[Bound]:
    """The bounds of the key's requests: money first, then by what is limited, the nearest first."""
    path = (key.tenant_id, key.project_id, key.pk)
    bounds = [_of_budget(row) for row in budgets_on_path(*path)] + [_of_limit(row) for row in limits_on_path(*path)]
    binding = _binding(bounds)
    order = ["money", *Limit.What.values]
    marked = [replace(bound, binds=id(bound) in binding) for bound in bounds]
    return sorted(marked, key=lambda bound: (order.index(bound.what), _NEARNESS[bound.scope], bound.per))


def _binding(bounds: Sequence[Bound]) -> set[int]:
    """A rate by the minute and one by the day may both be met, so a limit is held against those of its window."""
    nearest: dict[tuple[str, str], Bound] = {}
    for bound in bounds:
        group = (bound.what, "" if bound.is_money else bound.per)
        if bound.is_hard and (group not in nearest or bound.left < nearest[group].left):
            nearest[group] = bound
    return {id(bound) for bound in nearest.values()}


def _of_budget(row: BudgetStanding) -> Bound:
    return Bound(
        id=row.id,
        what="money",
        per=row.period,
        scope=row.scope,
        source=row.source,
        used=row.spent_nano_eur + row.held_nano_eur,
        held=row.held_nano_eur,
        whole=row.limit_nano_eur,
        resets_at=row.resets_at,
        is_hard=row.is_hard,
        raised=row.raised,
    )


def _of_limit(row: LimitStanding) -> Bound:
    return Bound(
        id=row.id,
        what=row.what,
        per=row.window,
        scope=row.scope,
        source=row.source,
        used=row.used,
        held=0,
        whole=row.amount,
        resets_at=row.resets_at,
        is_hard=True,
    )

"""How a request is made to fit a budget or a limit (I3): a bound never starves a tenant, and never passes a cap.

Where the most that a request can cost does not fit, its prompt was counted before (`admission.py`). Then our default
output limit is lowered, a client's own only where the budget's owner allows it. Not below a quarter of itself while
what is missing is merely held: ordinary requests cost a fraction of their holds, so that a short wait serves whole
answers where a lower limit would cut them short. Who has waited long enough takes what there is, then is refused.

Measured with ten requests at once, each of 200 output tokens under a default of 1,024, at a budget that pays for 14 of
them: before, six of ten were admitted and four of those cut short; with the wait all ten end by themselves.
"""

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from billing.pricing import affordable_output

if TYPE_CHECKING:
    from gateway.relay.admission import Plan
    from gateway.relay.limits import Limits

# Fewer tokens than this are no answer: then a request is refused rather than lowered.
LEAST_OUTPUT = 16
SHARE = 4  # a lowered request takes this part of what is left: whoever took all would keep everybody else out
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5


class MoneyQueue:
    """The requests of this process that wait for money which running ones hold. Each asks the ledger now and then."""

    def __init__(self, limits: "Limits") -> None:
        self._limits = limits
        self._of_tenant: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._of_tenant.total()

    async def wait(self, plan: "Plan") -> bool:
        """Wait a little, and want again what was wanted at first; False where that is over, or too many wait."""
        now = time.monotonic()
        if plan.waits_since is None:
            if not self._has_room(plan.caller.tenant.id):
                return False
            plan.waits_since = now
            self._of_tenant[plan.caller.tenant.id] += 1
        waited = now - plan.waits_since
        if waited >= self._limits.money_wait_s:
            return False
        await asyncio.sleep(min(max(waited, FIRST_PAUSE_S), LONGEST_PAUSE_S))
        plan.output, plan.waits = plan.wanted, plan.waits + 1
        return True

    def leave(self, plan: "Plan") -> None:
        """The request was admitted or refused, whether it waited or not."""
        if plan.waits_since is not None:
            tenant = plan.caller.tenant.id
            self._of_tenant[tenant] -= 1
            if not self._of_tenant[tenant]:
                del self._of_tenant[tenant]

    def _has_room(self, tenant: int) -> bool:
        return (
            self._of_tenant[tenant] < self._limits.waiting_for_money_of_tenant
            and self._of_tenant.total() < self._limits.waiting_for_money
        )


async def fit_budget(money: MoneyQueue, plan: "Plan", budget: Any) -> bool:
    """Lower the plan's output limit, or wait: whether it is worth asking again. `budget`: the ledger's detail."""
    headroom = budget["headroom_nano_eur"]
    most = _affordable(plan, headroom) if _may_lower(plan, budget) else 0
    decent = max(_affordable(plan, headroom // SHARE), (plan.wanted or 0) // SHARE, LEAST_OUTPUT) if most else 0
    if most and most >= decent:
        return _lower(plan, decent)
    if comes_free(plan, budget) and await money.wait(plan):
        return True
    return _lower(plan, most)


def comes_free(plan: "Plan", budget: Any) -> bool:
    """Whether what is missing is held by running requests, and not spent."""
    output = LEAST_OUTPUT if _may_lower(plan, budget) else plan.output
    held, free = int(budget["held_nano_eur"]), int(budget["limit_nano_eur"]) - int(budget["spent_nano_eur"])
    return held > 0 and plan.bound(output) <= free


def fit_limit(plan: "Plan", limit: Any) -> bool:
    """Lower our own default output limit to what a limit in tokens leaves."""
    if plan.inference.max_output_asked is not None or limit["what"] not in ("tokens", "output_tokens"):
        return False
    left = limit["amount"] - limit["used"] - (plan.input_tokens if limit["what"] == "tokens" else 0)
    return _lower(plan, left // plan.inference.sequences)


def _may_lower(plan: "Plan", budget: Any) -> bool:
    return plan.output is not None and (plan.inference.max_output_asked is None or budget["may_lower_output"])


def _lower(plan: "Plan", output: int) -> bool:
    if plan.output is None or not LEAST_OUTPUT <= output < plan.output:
        return False
    plan.output = output
    return True


def _affordable(plan: "Plan", money: int) -> int:
    window, sequences = plan.model.facts.context_window, plan.inference.sequences
    return affordable_output(money, plan.input_tokens, sequences, window, plan.prices)

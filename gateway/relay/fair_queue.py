"""Who comes next where all places are taken: the tenant that has the fewest. Pure.

What is short is places at an engine, so places are what is shared out: each that comes free goes to the tenant with the
fewest requests under way, those equal in the order in which they were last served. That is max-min fairness, the share
that generalized processor sharing would give (Parekh and Gallager, 1993) without a guess at how long a request takes;
virtual finish times would need one. A tenant's own requests go first come, first served.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Requests that wait, by tenant. At most `most`: past it the longest queue gives up its last one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of_tenant: dict[int, OrderedDict[Item, None]] = {}
        self._served: dict[int, int] = {}  # a number that rises: when the tenant began to wait, or got its last place
        self._turns = self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def push(self, tenant: int, item: Item) -> Item | None:
        """Let it wait, behind its tenant's others. Answers who has to give up waiting for it; it may be itself."""
        if tenant not in self._of_tenant:
            self._of_tenant[tenant] = OrderedDict()
            self._note_turn(tenant)
        self._of_tenant[tenant][item] = None
        self._waiting += 1
        if self._waiting <= self._most:
            return None
        longest = max(self._of_tenant, key=lambda each: (len(self._of_tenant[each]), each == tenant))
        last = next(reversed(self._of_tenant[longest]))
        self.remove(longest, last)
        return last

    def first(self, under_way: Mapping[int, int]) -> tuple[int, Item]:
        """The tenant and its request whose turn it is; `under_way`: by tenant, the places it has. There is one."""
        tenant = min(self._of_tenant, key=lambda each: (under_way.get(each, 0), self._served[each]))
        return tenant, next(iter(self._of_tenant[tenant]))

    def take(self, tenant: int, item: Item) -> None:
        """It got its place."""
        self.remove(tenant, item)
        if tenant in self._of_tenant:
            self._note_turn(tenant)

    def remove(self, tenant: int, item: Item) -> None:
        """It waits no longer; nothing where it did not."""
        own = self._of_tenant.get(tenant)
        if own is None or item not in own:
            return
        del own[item]
        self._waiting -= 1
        if not own:
            del self._of_tenant[tenant], self._served[tenant]

    def oldest(self) -> list[tuple[int, Item]]:
        """Of each tenant the request that has waited longest."""
        return [(tenant, next(iter(own))) for tenant, own in self._of_tenant.items()]

    def _note_turn(self, tenant: int) -> None:
        self._turns += 1
        self._served[tenant] = self._turns

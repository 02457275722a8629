"""Which replica has most of a prompt in its cache already, so far as it is not busier than the others. Pure.

What this process sent where it remembers (`Beginning.marks`). What it has not seen may be known to another gateway, so
all choose alike without talking: by rendezvous hashing (Thaler and Ravishankar, 1998) of what the prompt begins with.
An application, that is all prompts that begin alike, is spread over as many replicas as its share of the requests
deserves, and each of its conversations stays on one of them. Where that one has too much to do already, the next in its
order is taken (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018).

What was weighed against what: bench/NOTES.md, "Routing".
"""

import math
from collections.abc import Sequence

from gateway.relay.prefixes import APPLICATION, ENDS, LEAST, Beginning
from gateway.relay.routing import Replica

BOUND = 1.25
"""A replica that is chosen for its cache has at most this times the mean of the requests under way."""
AT_EASE = 8
"""Requests that an engine works on at once without one noticing the others: so many it may have whatever the mean."""
ENOUGH = 0.9
"""Of what is looked at of a prompt, the part that a replica has to know for its own sake. What applications have in
common is known to many replicas soon, and says nothing of a conversation."""
SPREAD = 3
"""An application is spread over this times its share of the replicas: room for what its conversations differ."""
RECENT = 1024
"""Requests of a model after which earlier ones weigh half, and applications that were hardly seen are forgotten."""
SURE = 64
"""Requests before shares mean anything: up to then an application counts as a small one."""


class Shares:
    """How much of a model's recent requests each application makes up."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._all = 0

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, application: int) -> float:
        """Count a request; answers the application's share, 0 to 1."""
        seen = self._seen[application] = self._seen.get(application, 0) + 1
        self._all += 1
        if self._all >= RECENT:
            self._seen = {each: count // 2 for each, count in self._seen.items() if count > 1}
            self._all = sum(self._seen.values())
        return seen / max(self._all, SURE)


class Affinity:
    """What this process remembers: by a beginning of a prompt, the replica that read it last. At most `entries`
    beginnings, those used last.
    """

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._known: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._known)

    def choose(self, model_id: int, shares: Shares, replicas: Sequence[Replica], beginning: Beginning) -> Replica:
        """One of the model's replicas, of at least one, for a prompt that begins so; it is noted to have read it."""
        marks = beginning.marks(model_id)
        share = shares.note(marks[min(len(marks), APPLICATION // LEAST) - 1])
        free = within_bound(replicas)
        replica = self._knower(free, marks)
        if replica is None:
            replica = rendezvous(replicas, free, beginning, math.ceil(share * SPREAD * len(replicas)))
        self._remember(marks, replica.id)
        return replica

    def _knower(self, free: Sequence[Replica], marks: Sequence[int]) -> Replica | None:
        """Who knows most of the prompt, of those that have room for it."""
        enough = ENOUGH * ENDS[len(marks) - 1]
        for end, mark in zip(reversed(ENDS[: len(marks)]), reversed(marks), strict=True):
            if end < enough:
                return None
            replica_id = self._known.get(mark)
            if replica_id is not None:
                for replica in free:
                    if replica.id == replica_id:
                        return replica
        return None

    def _remember(self, marks: Sequence[int], replica_id: int) -> None:
        known = self._known
        for mark in marks:
            known.pop(mark, None)  # so that it comes last
            known[mark] = replica_id
        while len(known) > self._entries:
            del known[next(iter(known))]


def within_bound(replicas: Sequence[Replica]) -> list[Replica]:
    """Those that one more request brings to no more than BOUND times the mean, itself counted; at least one."""
    under_way = 1
    for replica in replicas:
        under_way += replica.outstanding + replica.queued
    most = max(AT_EASE, math.ceil(BOUND * under_way / len(replicas)))
    return [replica for replica in replicas if replica.outstanding + replica.queued < most]


def rendezvous(replicas: Sequence[Replica], free: Sequence[Replica], beginning: Beginning, spread: int) -> Replica:
    """The first of the free ones in the conversation's order, among the first `spread` in its application's order;
    where none of those is free, among all.
    """
    application, conversation = beginning.keys()
    home = sorted(replicas, key=lambda replica: -hash((application, replica.id)))[:spread]
    is_free = set(free)
    return max(
        [replica for replica in home if replica in is_free] or free,
        key=lambda replica: hash((conversation, replica.id)),
    )

"""Since when an engine gives no answer, as the worker finds when it asks each for its counters (`counters.py`).

Observed, and nothing more: no state follows from it. Gateways look for themselves, and within seconds
(`gateway/relay/looks.py`); the reconciler acts on what nodes say.
"""

from datetime import datetime

from django.db import transaction

from gateway.pools.fleet import events
from gateway.pools.models import Replica

# Of any other state the reason says what is wrong.
_TOLD_OF = (Replica.State.READY, Replica.State.DRAINING)


def note_silence(replica: Replica, *, since: datetime) -> None:
    """It was asked at that time and did not answer; only the first time is kept."""
    if replica.silent_since is None and replica.state in _TOLD_OF:
        _note(replica, since, "silent")


def note_answer(replica: Replica) -> None:
    """It answered."""
    if replica.silent_since is not None:
        _note(replica, None, "answers")


def _note(asked: Replica, since: datetime | None, kind: str) -> None:
    """Unless it is another engine by now, or somebody was faster."""
    same = {name: getattr(asked, name) for name in ("pk", "url", "state", "state_since", "silent_since")}
    with transaction.atomic():
        fresh = Replica.objects.select_for_update(no_key=True).filter(**same).first()
        if fresh is None:
            return
        fresh.silent_since = since
        fresh.save(update_fields=["silent_since"])
        if fresh.source == Replica.Source.FLEET:
            events.note_replica(fresh, kind, began_at=asked.silent_since)

"""What is to be done with a replica by itself: one that failed, was lost, has drained or is gone. Pure."""

from datetime import datetime, timedelta

from gateway.pools.fleet import reasons
from gateway.pools.fleet.world import (
    LOST,
    SILENT,
    Action,
    Configuration,
    Fail,
    Forget,
    NodeView,
    Phase,
    ReplicaView,
    Stop,
)

TAKEN_WITHIN = timedelta(seconds=120)  # a report comes every 5 seconds, and with it the first sign of a new replica
SLOW_GRACE = timedelta(seconds=60)  # the agent ends what is too slow by itself, and says why
ASLEEP_WITHIN = timedelta(seconds=120)  # the weights of a large model are copied in seconds
SOUND_WITHIN = timedelta(seconds=120)  # an engine that runs is probed every 30 seconds
# Gateways learn within seconds that a replica drains; what its node counted before may miss what they sent until then.
DRAIN_SETTLES = timedelta(seconds=10)
DRAINS_AT_MOST = timedelta(minutes=10)  # longer than almost every answer; what still runs then is cut


def verdict(replica: ReplicaView, node: NodeView, configuration: Configuration, now: datetime) -> Action | None:
    """What to do with the replica, whatever its pool wants; None: nothing."""
    is_silent = node.is_silent_for(SILENT, now)
    if replica.phase == Phase.STOPPING:
        return None if replica.is_reported or is_silent or not node.has_assignment else Forget(replica.id)
    if replica.phase == Phase.EJECTED:
        return Stop(replica.id, reasons.EJECTED)
    if node.is_silent_for(LOST, now) and replica.answers is False:
        return Stop(replica.id, reasons.LOST)
    if replica.ended or (node.has_assignment and not is_silent and not replica.is_reported):
        reason = replica.ended or reasons.VANISHED
        is_over = replica.phase in (Phase.DRAINING, Phase.SLEEPING)
        return Stop(replica.id, reason) if is_over else Fail(replica.id, reason)
    if replica.phase == Phase.DRAINING:
        return _end_of_draining(replica, node, now)
    return None if is_silent else _too_late(replica, configuration, now)


def _end_of_draining(replica: ReplicaView, node: NodeView, now: datetime) -> Stop | None:
    if now - replica.since >= DRAINS_AT_MOST:
        return Stop(replica.id, reasons.DRAINED_LONG_ENOUGH)
    has_settled = node.reported_at is not None and node.reported_at - replica.since >= DRAIN_SETTLES
    return Stop(replica.id, reasons.DRAINED) if has_settled and replica.busy == 0 else None


def _too_late(replica: ReplicaView, configuration: Configuration, now: datetime) -> Fail | Stop | None:
    spent = now - replica.since
    match replica.phase:
        case Phase.SLEEPING if not replica.is_asleep and spent >= ASLEEP_WITHIN:
            return Stop(replica.id, reasons.NOT_ASLEEP)
        case Phase.REQUESTED if spent >= TAKEN_WITHIN:
            return Fail(replica.id, reasons.NOT_TAKEN)
        case Phase.STARTING if spent >= configuration.ready_within + SLOW_GRACE:
            return Fail(replica.id, reasons.TOO_SLOW)
        case Phase.WARMING | Phase.FAILED if spent >= SOUND_WITHIN:
            return Fail(replica.id, reasons.UNSOUND % {"reason": replica.reason or reasons.TOO_SLOW})
        case _:
            return None

"""What the worker does for pools. A task may run twice, or late: it looks at the rows and writes what it found."""

import logging
from datetime import UTC, timedelta

from celery import shared_task

from billing.clock import database_now
from gateway.pools.counters import NoCounters, Unanswered, sample_replica
from gateway.pools.fleet.assignments import send_assignments
from gateway.pools.fleet.broker_users import reconcile_broker_users
from gateway.pools.fleet.events import forget_events
from gateway.pools.fleet.reconciler import reconcile_fleet
from gateway.pools.fleet.reports import NotTaken, take_report
from gateway.pools.fleet.start_logs import forget_logs
from gateway.pools.model_probes import forget_probes, probe_published_models
from gateway.pools.models import Reconciliation, Replica
from gateway.pools.probes import probe_replica
from gateway.pools.reconciliation import forget, reconcile_and_keep
from gateway.pools.registry import NOT_THERE
from gateway.pools.schedule import FLEET_EVERY_SECONDS, PROBE_EVERY_SECONDS, SAMPLE_EVERY_SECONDS
from gateway.pools.silence import note_answer, note_silence
from gateway.pools.tls_servers import tls_servers
from identity.certificates import look_at, remind_operators

State = Replica.State
logger = logging.getLogger("beffroi.pools")

HOUR = timedelta(hours=1)
# So long after its end an hour is compared: the samples that were under way have come, or never will.
SETTLED = timedelta(minutes=2)
HOURS_BACK = 24  # a worker that was away so long catches up


@shared_task(name="pools.probe_replicas", ignore_result=True)  # type: ignore[untyped-decorator]
def probe_replicas() -> None:
    """Have every replica probed that waits for its first probe or failed the last."""
    waiting = Replica.objects.filter(state__in=(State.REGISTERED, State.WARMING, State.FAILED))
    for replica_id in waiting.values_list("pk", flat=True):
        probe_one.apply_async((replica_id,), expires=PROBE_EVERY_SECONDS)


@shared_task(name="pools.probe_replica", ignore_result=True)  # type: ignore[untyped-decorator]
def probe_one(replica_id: int) -> None:
    """Probe a replica, if there still is one."""
    replica = Replica.objects.filter(pk=replica_id).select_related("pool__model").first()
    if replica is not None:
        probe_replica(replica)


@shared_task(name="pools.probe_models", ignore_result=True)  # type: ignore[untyped-decorator]
def probe_models() -> None:
    """Ask each published model for its token of this minute, unless another worker does."""
    probe_published_models()


@shared_task(name="pools.reconcile_fleet", ignore_result=True)  # type: ignore[untyped-decorator]
def reconcile() -> None:
    """A step towards what is wanted of the fleet, then to every node what it does not have yet."""
    reconcile_broker_users()
    reconcile_fleet()
    send_assignments()


@shared_task(name="pools.take_report", ignore_result=True)  # type: ignore[untyped-decorator]
def take_nodes_report(report: str) -> None:
    """Write down what a node says; probe an engine that answers now, and go on at once where something changed."""
    try:
        taken = take_report(report)
    except NotTaken as error:
        logger.warning("a node's report does not count: %s", error)
        return
    for replica_id in taken.warming:
        probe_one.apply_async((replica_id,), expires=PROBE_EVERY_SECONDS)
    if taken.is_news:
        reconcile.apply_async(expires=FLEET_EVERY_SECONDS)


@shared_task(name="pools.forget_probes", ignore_result=True)  # type: ignore[untyped-decorator]
def forget_old_probes() -> None:
    """Remove what is kept no longer."""
    forget_probes()
    forget_events()
    forget_logs()


@shared_task(name="pools.sample_replicas", ignore_result=True)  # type: ignore[untyped-decorator]
def sample_replicas() -> None:
    """Have the counters of every replica read, whatever its state: it may still end what it began."""
    for replica_id in Replica.objects.exclude(state__in=NOT_THERE).values_list("pk", flat=True):
        sample_one.apply_async((replica_id,), expires=SAMPLE_EVERY_SECONDS)


@shared_task(name="pools.sample_replica", ignore_result=True)  # type: ignore[untyped-decorator]
def sample_one(replica_id: int) -> None:
    """Read a replica's counters, if there still is one. A sample that is missing is told with the hour, an engine that
    does not answer at once.
    """
    replica = Replica.objects.filter(pk=replica_id).select_related("pool").first()
    if replica is None:
        return
    try:
        sample_replica(replica)
    except NoCounters as error:
        logger.warning("no sample of %s in %s: %s", replica.name, replica.pool.name, error)
        if isinstance(error, Unanswered):
            note_silence(replica, since=error.asked_at)
            return
    note_answer(replica)


@shared_task(name="pools.reconcile_hours", ignore_result=True)  # type: ignore[untyped-decorator]
def reconcile_hours() -> None:
    """Compare the hours that are over and were not compared yet; remove what is kept no longer."""
    now = database_now()
    last = (now - SETTLED).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    done = set(Reconciliation.objects.filter(ends_at__gt=last - HOURS_BACK * HOUR).values_list("ends_at", flat=True))
    for hours in reversed(range(HOURS_BACK)):
        until = last - hours * HOUR
        if until not in done:
            for result in reconcile_and_keep(until - HOUR, until):
                if not result.is_tolerated:
                    logger.error("tokens of %s in the hour before %s are unexplained", result.pool, until)
    forget(now)


@shared_task(name="pools.look_at_certificates", ignore_result=True)  # type: ignore[untyped-decorator]
def look_at_certificates() -> None:
    """Look at the certificate of every server that is met over TLS, and tell operators of what ends."""
    now = database_now()
    look_at(tls_servers(), now=now)
    remind_operators(now)

"""The worker's scheduled jobs, for those who run the platform: what each does, how it went, and running one now."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from kombu.exceptions import OperationalError

from console.celery import app, scheduled_tasks
from identity.errors import Conflict, NotFound
from identity.models import JobRun

# So many turns may a job miss before somebody should look at the worker; those of seconds have a few minutes.
_TURNS_MISSED = 3
_LEAST_PATIENCE = timedelta(minutes=5)
TITLES: dict[str, Promise] = {
    "pools.probe_replicas": _("Probe engines that are not ready"),
    "pools.sample_replicas": _("Read the engines' counters"),
    "pools.reconcile_hours": _("Reconcile charged tokens with the engines' counters"),
    "pools.probe_models": _("Probe published models"),
    "pools.forget_probes": _("Remove old probes"),
    "pools.reconcile_fleet": _("Move the fleet towards what is wanted"),
    "pools.look_at_certificates": _("Look at certificates"),
    "identity.checkpoint_audit_chains": _("Sign the audit chains"),
    "identity.ship_audit": _("Send audit and logs to collectors"),
    "identity.deliver_notices": _("Deliver notices"),
    "identity.forget_notices": _("Remove old notices"),
    "identity.remind_of_keys": _("Remind of keys that expire"),
    "billing.check_ledger": _("Add the ledger up again, every night"),
    "billing.write_exports": _("Write exports"),
    "billing.write_invoice_files": _("Make the files of what was issued"),
    "billing.write_previews": _("Make the lines of months that are to be closed"),
    "billing.forget_exports": _("Remove exports that ended"),
    "billing.ask_monthly_exports": _("Ask for the month's exports"),
    "billing.turn_contracts": _("Begin and end agreements"),
    "billing.remind_of_agreements": _("Remind of agreements that end"),
    "billing.remind_of_invoices": _("Remind of invoices that are overdue"),
    "billing.start_chosen_tiers": _("Start tiers that organisations chose for this month"),
    "billing.tell_reached_budgets": _("Tell of budgets that are reached"),
    "billing.expire_credit": _("End prepaid credit whose time is over"),
    "billing.tell_of_credit": _("Tell of prepaid credit that runs low or ends"),
}


@dataclass(frozen=True, slots=True)
class Job:
    """A scheduled job and its last run. `state`: `well`, `failing`, `late` (the worker is not there) or `waiting`."""

    name: str
    title: Promise | str
    every: timedelta
    run: JobRun | None
    state: str


def jobs() -> list[Job]:
    """All of them, those in trouble first. One query."""
    runs = {run.name: run for run in JobRun.objects.all()}
    found = [_job(name, timedelta(seconds=seconds), runs.get(name)) for name, seconds in scheduled_tasks().items()]
    order = ("failing", "late", "waiting", "well")
    return sorted(found, key=lambda job: (order.index(job.state), str(job.title)))


def run_now(name: str) -> None:
    """Have the worker run a job, beside its schedule. Raises `NotFound`, `Conflict` where the broker is away."""
    if name not in scheduled_tasks():
        raise NotFound("job")
    ask_worker(name, expires=60)


def ask_worker(task: str, *, expires: int | None = None) -> None:
    """Have the worker do a task; where none takes it within so many seconds, nobody does. Raises `Conflict` where the
    broker is away.
    """
    try:
        app.send_task(task, expires=expires, retry=False)
    except (OperationalError, OSError) as error:
        raise Conflict(str(_("The worker's broker does not answer."))) from error


def _job(name: str, every: timedelta, run: JobRun | None) -> Job:
    title = TITLES.get(name, name)
    if run is None:
        return Job(name, title, every, None, "waiting")
    is_late = timezone.now() - run.began_at > max(_TURNS_MISSED * every, _LEAST_PATIENCE)
    return Job(name, title, every, run, "failing" if run.is_failing else "late" if is_late else "well")

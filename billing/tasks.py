"""What the worker does for billing. A task may run twice, or late: it looks at the rows and writes what it found."""

from celery import shared_task
from django.utils import timezone

from billing import alerts, export_run, export_schedules, ledger_checks, tier_choice

# A sweep of exports ends before the next but two begins, so that they never take all of the worker's threads, and
# within the time that a worker has to stop.
EXPORT_SECONDS = 12.0


@shared_task(name="billing.tell_reached_budgets", ignore_result=True)  # type: ignore[untyped-decorator]
def tell_reached_budgets() -> None:
    """Tell people of the thresholds of budgets that were reached."""
    alerts.tell_reached_budgets()


@shared_task(name="billing.write_exports", ignore_result=True)  # type: ignore[untyped-decorator]
def write_exports() -> None:
    """Write the exports that are due, a slice of each in turn."""
    export_run.write_exports(seconds=EXPORT_SECONDS)


@shared_task(name="billing.forget_exports", ignore_result=True)  # type: ignore[untyped-decorator]
def forget_exports() -> None:
    """Remove the files that were kept long enough."""
    export_run.forget_exports()


@shared_task(name="billing.ask_monthly_exports", ignore_result=True)  # type: ignore[untyped-decorator]
def ask_monthly_exports() -> None:
    """Ask for the exports that are made of every month."""
    export_schedules.ask_monthly_exports(timezone.now())


@shared_task(name="billing.check_ledger", ignore_result=True)  # type: ignore[untyped-decorator]
def check_ledger() -> None:
    """Add the ledger up again, once a night."""
    ledger_checks.check_if_due(timezone.now())


@shared_task(name="billing.start_chosen_tiers", ignore_result=True)  # type: ignore[untyped-decorator]
def start_chosen_tiers() -> None:
    """Start the contracts of tiers that were chosen for now."""
    tier_choice.start_chosen_tiers()

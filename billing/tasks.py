"""What the worker does for billing. A task may run twice, or late: it looks at the rows and writes what it found."""

from celery import shared_task
from django.utils import timezone

from billing.checks import ledger_checks
from billing.closing import previews
from billing.contracts import tier_choice, turning
from billing.credit import alerts as credit_alerts
from billing.credit import moves
from billing.exports import run, schedules
from billing.invoices import files, reminders
from billing.limits import alerts, budget_raises

# A sweep of exports ends before the next but two begins, so that they never take all of the worker's threads, and
# within the time that a worker has to stop.
EXPORT_SECONDS = 12.0


@shared_task(name="billing.tell_reached_budgets", ignore_result=True)  # type: ignore[untyped-decorator]
def tell_reached_budgets() -> None:
    """Tell people of the thresholds of budgets that were reached."""
    alerts.tell_reached_budgets()
    budget_raises.tell_of_ended_raises()


@shared_task(name="billing.tell_of_credit", ignore_result=True)  # type: ignore[untyped-decorator]
def tell_of_credit() -> None:
    """Tell people of credit that runs low, is used up or is about to expire."""
    credit_alerts.tell_of_credit()


@shared_task(name="billing.expire_credit", ignore_result=True)  # type: ignore[untyped-decorator]
def expire_credit() -> None:
    """End the lots of credit whose time is over."""
    moves.expire_lots()


@shared_task(name="billing.write_exports", ignore_result=True)  # type: ignore[untyped-decorator]
def write_exports() -> None:
    """Write the exports that are due, a slice of each in turn."""
    run.write_exports(seconds=EXPORT_SECONDS)


@shared_task(name="billing.forget_exports", ignore_result=True)  # type: ignore[untyped-decorator]
def forget_exports() -> None:
    """Remove the files that were kept long enough."""
    run.forget_exports()


@shared_task(name="billing.ask_monthly_exports", ignore_result=True)  # type: ignore[untyped-decorator]
def ask_monthly_exports() -> None:
    """Ask for the exports that are made of every month."""
    schedules.ask_monthly_exports(timezone.now())


@shared_task(name="billing.check_ledger", ignore_result=True)  # type: ignore[untyped-decorator]
def check_ledger() -> None:
    """Add the ledger up again, once a night."""
    ledger_checks.check_if_due(timezone.now())


@shared_task(name="billing.write_previews", ignore_result=True)  # type: ignore[untyped-decorator]
def write_previews() -> None:
    """Make the lines of closings that were asked for."""
    previews.write_previews(seconds=EXPORT_SECONDS)


@shared_task(name="billing.write_invoice_files", ignore_result=True)  # type: ignore[untyped-decorator]
def write_invoice_files() -> None:
    """Make the XML and the PDF of what was issued."""
    files.write_files(seconds=EXPORT_SECONDS)


@shared_task(name="billing.start_chosen_tiers", ignore_result=True)  # type: ignore[untyped-decorator]
def start_chosen_tiers() -> None:
    """Start the contracts of tiers that were chosen for now."""
    tier_choice.start_chosen_tiers()


@shared_task(name="billing.turn_contracts", ignore_result=True)  # type: ignore[untyped-decorator]
def turn_contracts() -> None:
    """Begin and end the agreements that are due where no request came to do it, and tell of those that did."""
    turning.turn_due_contracts()
    turning.tell_of_turns()


@shared_task(name="billing.remind_of_invoices", ignore_result=True)  # type: ignore[untyped-decorator]
def remind_of_invoices() -> None:
    """Tell of invoices that are overdue."""
    reminders.remind_of_invoices()


@shared_task(name="billing.remind_of_agreements", ignore_result=True)  # type: ignore[untyped-decorator]
def remind_of_agreements() -> None:
    """Tell of agreements that end soon."""
    turning.remind_of_ends()

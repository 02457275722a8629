"""What the worker does for billing. A task may run twice, or late: it looks at the rows and writes what it found."""

from celery import shared_task

from billing import alerts


@shared_task(name="billing.tell_reached_budgets", ignore_result=True)  # type: ignore[untyped-decorator]
def tell_reached_budgets() -> None:
    """Tell people of the thresholds of budgets that were reached."""
    alerts.tell_reached_budgets()

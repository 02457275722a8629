"""What the worker does for the console: nothing by the clock."""

from celery import shared_task

from billing.closing.issuing import Blocked
from console import demo_month


@shared_task(  # type: ignore[untyped-decorator]
    name=demo_month.TASK,
    ignore_result=True,
    autoretry_for=(Blocked,),
    retry_kwargs={"countdown": 60, "max_retries": 10},
)
def close_demo_month() -> None:
    """Close a month of the demo. Where somebody else is adding the ledger up, after that."""
    demo_month.close_demo_month()

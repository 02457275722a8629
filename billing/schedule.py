"""What the worker's clock starts for billing. Plain data: settings read it before Django is set up."""

from typing import Any

TELL_EVERY_SECONDS = 60
BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "tell of budgets that are reached": {
        "task": "billing.tell_reached_budgets",
        "schedule": TELL_EVERY_SECONDS,
        "options": {"expires": TELL_EVERY_SECONDS},
    },
}

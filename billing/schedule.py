"""What the worker's clock starts for billing. Plain data: settings read it before Django is set up."""

from typing import Any

TELL_EVERY_SECONDS = 60
EXPORT_EVERY_SECONDS = 5  # who asked waits for it; asking for what is due reads an index that is empty when nothing is
FORGET_EXPORTS_EVERY_SECONDS = 3600
ASK_MONTHLY_EVERY_SECONDS = 900
CHECK_LEDGER_EVERY_SECONDS = 900  # looks whether it was done since the hour of the night
START_TIERS_EVERY_SECONDS = 20  # a month begins at midnight, not some time after it
BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "tell of budgets that are reached": {
        "task": "billing.tell_reached_budgets",
        "schedule": TELL_EVERY_SECONDS,
        "options": {"expires": TELL_EVERY_SECONDS},
    },
    "write exports": {
        "task": "billing.write_exports",
        "schedule": EXPORT_EVERY_SECONDS,
        "options": {"expires": EXPORT_EVERY_SECONDS},
    },
    "forget exports": {
        "task": "billing.forget_exports",
        "schedule": FORGET_EXPORTS_EVERY_SECONDS,
        "options": {"expires": FORGET_EXPORTS_EVERY_SECONDS},
    },
    "start the tiers that were chosen for today": {
        "task": "billing.start_chosen_tiers",
        "schedule": START_TIERS_EVERY_SECONDS,
        "options": {"expires": START_TIERS_EVERY_SECONDS},
    },
    "ask for the month's exports": {
        "task": "billing.ask_monthly_exports",
        "schedule": ASK_MONTHLY_EVERY_SECONDS,
        "options": {"expires": ASK_MONTHLY_EVERY_SECONDS},
    },
    "add the ledger up again": {
        "task": "billing.check_ledger",
        "schedule": CHECK_LEDGER_EVERY_SECONDS,
        "options": {"expires": CHECK_LEDGER_EVERY_SECONDS},
    },
}

"""What the worker's clock starts for billing. Plain data: settings read it before Django is set up."""

from typing import Any

TELL_EVERY_SECONDS = 60
EXPORT_EVERY_SECONDS = 5  # who asked waits for it; asking for what is due reads an index that is empty when nothing is
FORGET_EXPORTS_EVERY_SECONDS = 3600
ASK_MONTHLY_EVERY_SECONDS = 900
CHECK_LEDGER_EVERY_SECONDS = 900  # looks whether it was done since the hour of the night
START_TIERS_EVERY_SECONDS = 20  # a month begins at midnight, not some time after it
EXPIRE_CREDIT_EVERY_SECONDS = 20  # a lot ends at midnight, not some time after it
TURN_CONTRACTS_EVERY_SECONDS = 20  # requests turn them at the instant itself; this is for whoever sends none
REMIND_OF_AGREEMENTS_EVERY_SECONDS = 3600
REMIND_OF_INVOICES_EVERY_SECONDS = 3600
PREVIEW_EVERY_SECONDS = 5  # who asked waits for it
INVOICE_FILES_EVERY_SECONDS = 10
BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "tell of budgets that are reached": {
        "task": "billing.tell_reached_budgets",
        "schedule": TELL_EVERY_SECONDS,
        "options": {"expires": TELL_EVERY_SECONDS},
    },
    "tell of credit that runs low or ends soon": {
        "task": "billing.tell_of_credit",
        "schedule": TELL_EVERY_SECONDS,
        "options": {"expires": TELL_EVERY_SECONDS},
    },
    "end the credit whose time is over": {
        "task": "billing.expire_credit",
        "schedule": EXPIRE_CREDIT_EVERY_SECONDS,
        "options": {"expires": EXPIRE_CREDIT_EVERY_SECONDS},
    },
    "write exports": {
        "task": "billing.write_exports",
        "schedule": EXPORT_EVERY_SECONDS,
        "options": {"expires": EXPORT_EVERY_SECONDS},
    },
    "make the lines of months that are to be closed": {
        "task": "billing.write_previews",
        "schedule": PREVIEW_EVERY_SECONDS,
        "options": {"expires": PREVIEW_EVERY_SECONDS},
    },
    "make the files of what was issued": {
        "task": "billing.write_invoice_files",
        "schedule": INVOICE_FILES_EVERY_SECONDS,
        "options": {"expires": INVOICE_FILES_EVERY_SECONDS},
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
    "begin and end agreements": {
        "task": "billing.turn_contracts",
        "schedule": TURN_CONTRACTS_EVERY_SECONDS,
        "options": {"expires": TURN_CONTRACTS_EVERY_SECONDS},
    },
    "remind of agreements that end": {
        "task": "billing.remind_of_agreements",
        "schedule": REMIND_OF_AGREEMENTS_EVERY_SECONDS,
        "options": {"expires": REMIND_OF_AGREEMENTS_EVERY_SECONDS},
    },
    "remind of invoices that are overdue": {
        "task": "billing.remind_of_invoices",
        "schedule": REMIND_OF_INVOICES_EVERY_SECONDS,
        "options": {"expires": REMIND_OF_INVOICES_EVERY_SECONDS},
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

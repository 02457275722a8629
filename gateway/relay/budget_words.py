"""Refusals of the ledger in words: which limit, its figure, its scope, when it frees, and where to change it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from billing.money import exact_eur

_SCOPES = {"tenant": "your organisation", "project": "this key's project", "key": "this key"}
_PERIODS = {
    "day": "today",
    "week": "this week",
    "month": "this month",
    "quarter": "this quarter",
    "year": "this year",
    "once": "in all",
}
_WINDOWS = {"minute": "a minute", "hour": "an hour", "day": "a day", "month": "a month"}
_UNITS = {
    "requests": "requests",
    "tokens": "tokens",
    "output_tokens": "output tokens",
    "concurrent": "requests at once",
}


def budget_message(detail: Mapping[str, Any]) -> str:
    """`detail` is that of the ledger's verdict `budget` (billing: billing_admit_one_v1)."""
    limit, spent, held = (f"{exact_eur(detail[f'{name}_nano_eur'])} EUR" for name in ("limit", "spent", "held"))
    frees = (
        f"It starts anew at {_moment(detail['resets_at'])}." if detail.get("resets_at") else "It does not start anew."
    )
    return (
        f"The budget of {_SCOPES[detail['scope']]} {_PERIODS[detail['period']]} is {limit}: {spent} are spent, "
        f"{held} are reserved for running requests, and what is left does not cover the most that this request can "
        f"cost. {frees} "
        "A lower max_completion_tokens reserves less. Whoever manages budgets can raise it: "
        f"budget {detail['budget_id']} in GET /api/budgets."
    )


def credit_message(detail: Mapping[str, Any]) -> str:
    """As `budget_message`, where the budget is the prepaid credit."""
    left = f"{exact_eur(max(detail['limit_nano_eur'] - detail['spent_nano_eur'], 0))} EUR"
    held = f"{exact_eur(detail['held_nano_eur'])} EUR"
    return (
        f"The prepaid credit of your organisation is {left}, of which {held} are reserved for running requests, and "
        "what is left does not cover the most that this request can cost. A lower max_completion_tokens reserves less. "
        "An owner or finance can order a top-up: Billing, Credit, or POST /api/credit/orders."
    )


def limit_message(detail: Mapping[str, Any], wait: float) -> str:
    """`detail` is that of the ledger's verdict `limit`; `wait` in seconds."""
    is_concurrent = detail["what"] == "concurrent"
    window = "" if is_concurrent else f" {_WINDOWS[detail['window']]}"
    limit = f"The limit of {_SCOPES[detail['scope']]} is {detail['amount']} {_UNITS[detail['what']]}{window}"
    if detail["asked"] > detail["amount"]:
        state = f", and this request alone counts as {detail['asked']}. Ask for less."
    else:
        state = f": {detail['used']} are used, and this request counts as {detail['asked']}."
        state += " Wait for one to end." if is_concurrent else f" It frees in {max(1, -int(-wait // 1))} seconds."
    return f"{limit}{state} Whoever manages limits can raise it: limit {detail['limit_id']} in GET /api/key."


def _moment(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")

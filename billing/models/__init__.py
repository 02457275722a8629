"""Tables of billing. Prices, offers, budgets and limits are ordinary tables; those that inference moves are made in SQL
(`billing/migrations/sql/`) and appear here for reading only."""

from billing.models.budgets import Budget, BudgetPeriod, Limit, LimitWindow, Scope
from billing.models.exports import Export, ExportName, ExportPart, ExportSchedule
from billing.models.ledger import (
    Hold,
    Incarnation,
    LedgerEntry,
    Refusal,
    RefusalCount,
    UsageHour,
    UsageRecord,
)
from billing.models.ledger_checks import LedgerCheck
from billing.models.prices import Contract, MeterPrice, PriceVersion, RateCard, Tier, TierChoice, WithdrawnPrice
from billing.models.sealing import SealedMonth

__all__ = [
    "Budget",
    "BudgetPeriod",
    "Contract",
    "Export",
    "ExportName",
    "ExportPart",
    "ExportSchedule",
    "Hold",
    "Incarnation",
    "LedgerCheck",
    "LedgerEntry",
    "Limit",
    "LimitWindow",
    "MeterPrice",
    "PriceVersion",
    "RateCard",
    "Refusal",
    "RefusalCount",
    "Scope",
    "SealedMonth",
    "Tier",
    "TierChoice",
    "UsageHour",
    "UsageRecord",
    "WithdrawnPrice",
]

"""Tables of billing. Prices, offers, budgets and limits are ordinary tables; those that inference moves are made in SQL
(`billing/migrations/sql/`) and appear here for reading only."""

from billing.models.agreements import Agreement, ContractTerm
from billing.models.budget_raises import BudgetRaise
from billing.models.budgets import Budget, BudgetPeriod, Limit, LimitWindow, Scope
from billing.models.closings import BillingSettings, Closing, DraftLine, LegalParty, VatRate
from billing.models.credit import CreditAlerts, CreditOrder, CreditPayment, CreditRule
from billing.models.exports import Export, ExportName, ExportPart, ExportSchedule
from billing.models.invoice_files import InvoiceDrawing
from billing.models.invoices import Invoice, InvoiceFile, InvoiceLine, InvoiceSeries, Payment
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
from billing.models.payers import Payer, PayerPerson
from billing.models.prices import Contract, MeterPrice, PriceVersion, RateCard, Tier, TierChoice, WithdrawnPrice
from billing.models.sealing import SealedMonth

__all__ = [
    "Agreement",
    "BillingSettings",
    "Budget",
    "BudgetPeriod",
    "BudgetRaise",
    "Closing",
    "Contract",
    "ContractTerm",
    "CreditAlerts",
    "CreditOrder",
    "CreditPayment",
    "CreditRule",
    "DraftLine",
    "Export",
    "ExportName",
    "ExportPart",
    "ExportSchedule",
    "Hold",
    "Incarnation",
    "Invoice",
    "InvoiceDrawing",
    "InvoiceFile",
    "InvoiceLine",
    "InvoiceSeries",
    "LedgerCheck",
    "LedgerEntry",
    "LegalParty",
    "Limit",
    "LimitWindow",
    "MeterPrice",
    "Payer",
    "PayerPerson",
    "Payment",
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
    "VatRate",
    "WithdrawnPrice",
]

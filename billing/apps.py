from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Price book, budgets and limits, the ledger."""

    name = "billing"

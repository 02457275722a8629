"""Addresses of billing."""

from django.urls import URLPattern, path

from console.views.billing import billing, statement_csv
from console.views.budget_duties import budget_responsible
from console.views.budget_raises import end_budget_raise, raise_budget
from console.views.budgets import budget, end_budget, end_limit, limit
from console.views.credit import credit, credit_alerts, credit_order, credit_withdraw
from console.views.legal_party import legal_party
from console.views.tiers import tier_choose, tier_withdraw, tiers

_HERE = "t/<slug:slug>/billing"

urlpatterns: list[URLPattern] = [
    path(_HERE, billing, name="billing"),
    path(f"{_HERE}/statement.csv", statement_csv, name="billing-statement"),
    path(f"{_HERE}/budget", budget, name="billing-budget"),
    path(f"{_HERE}/budgets/<int:budget_id>/end", end_budget, name="billing-budget-end"),
    path(f"{_HERE}/credit", credit, name="billing-credit"),
    path(f"{_HERE}/credit/order", credit_order, name="billing-credit-order"),
    path(f"{_HERE}/credit/orders/<int:order_id>/withdraw", credit_withdraw, name="billing-credit-withdraw"),
    path(f"{_HERE}/credit/alerts", credit_alerts, name="billing-credit-alerts"),
    path(f"{_HERE}/budgets/<int:budget_id>/raise", raise_budget, name="budget-raise"),
    path(f"{_HERE}/budgets/<int:budget_id>/raise/end", end_budget_raise, name="budget-raise-end"),
    path(f"{_HERE}/budgets/<int:budget_id>/responsible", budget_responsible, name="budget-responsible"),
    path(f"{_HERE}/tiers", tiers, name="billing-tiers"),
    path(f"{_HERE}/tiers/<slug:code>", tier_choose, name="billing-tier-choose"),
    path(f"{_HERE}/next-tier/withdraw", tier_withdraw, name="billing-tier-withdraw"),
    path(f"{_HERE}/legal-identity", legal_party, name="billing-legal"),
    path(f"{_HERE}/limit", limit, name="billing-limit"),
    path(f"{_HERE}/limits/<int:limit_id>/end", end_limit, name="billing-limit-end"),
]

"""The operations of credit, raised budgets and legal identity, with who gets what; `test_access.py` asks all."""

from datetime import timedelta

from django.utils import timezone

from billing.limits.budget_raises import raise_budget
from billing.limits.budgets import set_budget
from billing.models import CreditOrder, Tier
from tests.gateway.api.access_cases import Case, Ours
from tests.support.people import TESTS

EUR = 10**9


def order_of(ours: Ours) -> int:
    """An open order; there are only so many."""
    CreditOrder.objects.filter(tenant=ours.house.tenant, state="open").update(state="cancelled")
    return CreditOrder.objects.create(tenant=ours.house.tenant, amount_nano_eur=EUR).pk


def an_order(ours: Ours) -> dict[str, object]:
    """An order, of a tenant whose tier is prepaid; the stranger's is not."""
    order_of(ours)
    Tier.objects.filter(contracts__tenant=ours.house.tenant).update(prepaid_nano_eur=EUR)
    return {"amount_nano_eur": 2 * EUR, "purchase_order": "PO-7"}


def raised(ours: Ours) -> str:
    """The address of a raise that runs."""
    budget = set_budget(on=ours.house.tenant, period="quarter", limit_nano_eur=EUR, actor=TESTS)
    raise_budget(budget=budget, limit_nano_eur=2 * EUR, until=timezone.now() + timedelta(days=1), actor=TESTS)
    return f"/api/budgets/{budget.pk}/raise"


def a_raise(ours: Ours) -> dict[str, object]:
    return {"limit_nano_eur": 3 * EUR, "until": (timezone.now() + timedelta(days=2)).isoformat()}


def answered_for(ours: Ours) -> str:
    budget = set_budget(on=ours.house.tenant, period="year", limit_nano_eur=EUR, actor=TESTS)
    return f"/api/budgets/{budget.pk}/responsible"


CREDIT_CASES = {
    ("budget-responsible", "PUT"): Case(answered_for, 403, 200, 404, lambda ours: {"responsible": None}),
    ("budget-raise", "PUT"): Case(raised, 403, 200, 404, a_raise),
    ("budget-raise", "DELETE"): Case(raised, 403, 204, 404),
    ("tenant-legal-identity", "GET"): Case(lambda ours: "/api/legal-identity", 403, 200, 200),
    ("tenant-legal-identity", "PUT"): Case(
        lambda ours: "/api/legal-identity", 403, 200, 200, lambda ours: {"legal_name": "Atelier", "country": "FR"}
    ),
    ("tenant-credit", "GET"): Case(lambda ours: "/api/credit", 403, 200, 200),
    ("tenant-credit-entries", "GET"): Case(lambda ours: "/api/credit/entries", 403, 200, 200),
    ("tenant-credit-orders", "GET"): Case(lambda ours: "/api/credit/orders", 403, 200, 200),
    ("tenant-credit-orders", "POST"): Case(lambda ours: "/api/credit/orders", 403, 201, 409, an_order),
    ("tenant-credit-order", "DELETE"): Case(lambda ours: f"/api/credit/orders/{order_of(ours)}", 403, 204, 404),
    ("tenant-credit-alerts", "PUT"): Case(
        lambda ours: "/api/credit/alerts", 403, 200, 200, lambda ours: {"percents": [10], "amount_nano_eur": EUR}
    ),
}

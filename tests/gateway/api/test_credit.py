"""Prepaid credit through the API: ordered by the organisation, recorded by the operator, read by both."""

import pytest

from billing.models import CreditOrder
from identity.models import Notice, OperatorRole, Tenant
from identity.notices import inbox
from identity.scopes import OperatorScope, Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.credit import EUR, make_prepaid, prepaid_tier
from tests.support.ledger import House, make_house, unique
from tests.support.operators import HeldOperatorKey, held_operator_key
from tests.support.people import make_operator

pytestmark = pytest.mark.usefixtures("database")
RECEIVED = {"received_on": "2026-11-20", "reference": "RF18 5390", "idempotency_key": "bank-1"}


@pytest.fixture
def house() -> House:
    house = make_house()
    Tenant.objects.filter(pk=house.tenant.pk).update(external_id=unique("acme"))
    house.tenant.refresh_from_db()
    make_prepaid(house)
    return house


@pytest.fixture
def script() -> HeldOperatorKey:
    return held_operator_key(OperatorScope.BILLING_WRITE)


def test_an_order_is_paid_once_and_is_credit(api: Api, house: House, script: HeldOperatorKey) -> None:
    key = house.key(Scope.CREDIT_ORDER)
    assert problem_of(api.ask("POST", "/api/credit/orders", key, {"amount_nano_eur": EUR // 2}))["status"] == 400
    order = api.ask("POST", "/api/credit/orders", key, {"amount_nano_eur": 2 * EUR, "purchase_order": "PO-7"}).json()
    assert (order["state"], order["purchase_order"]) == ("open", "PO-7")
    assert Notice.objects.filter(tenant=None, kind="credit.ordered", context__purchase_order="PO-7").exists()
    address = f"/api/operator/credit-orders/{order['id']}/payment"
    payment = {"amount_nano_eur": 2 * EUR, **RECEIVED}
    to_come = api.ask("POST", address, script, payment | {"received_on": "2999-01-01"})
    assert (to_come.status_code, "must not be in the future" in to_come.text) == (400, True)
    first, again = (api.ask("POST", address, script, payment) for _ in range(2))
    assert (first.status_code, again.status_code, again.json()["is_new"]) == (201, 200, False)
    assert api.ask("POST", address, script, payment | {"amount_nano_eur": EUR}).status_code == 409
    assert api.ask("POST", address, script, payment | {"idempotency_key": "bank-2"}).status_code == 409
    told = api.get("/api/credit", key).json()
    assert (told["is_in_use"], told["balance_nano_eur"], told["free_nano_eur"]) == (True, 2 * EUR, 2 * EUR)
    assert told["lots"][0]["expires_at"] is None
    [entry] = api.get("/api/credit/entries", key).json()["results"]
    assert (entry["kind"], entry["reference"], entry["order_id"]) == ("top_up", "RF18 5390", order["id"])
    assert api.get("/api/credit/orders", key).json()["results"][0]["state"] == "paid"
    assert api.ask("DELETE", f"/api/credit/orders/{order['id']}", key).status_code == 409


def test_who_bills_is_told_of_an_order_and_who_runs_machines_is_not(api: Api, house: House) -> None:
    biller, runs = make_operator(OperatorRole.BILLING), make_operator(OperatorRole.PLATFORM)
    number = unique("PO")
    body = {"amount_nano_eur": 2 * EUR, "purchase_order": number}
    assert api.ask("POST", "/api/credit/orders", house.key(Scope.CREDIT_ORDER), body).status_code == 201
    notice = Notice.objects.get(tenant=None, kind="credit.ordered", context__purchase_order=number)
    assert notice in [entry.notice for entry in inbox(biller)]
    assert notice not in [entry.notice for entry in inbox(runs)]


def test_a_tier_is_ordered_with_its_credit(api: Api, script: HeldOperatorKey) -> None:
    house = make_house()
    Tenant.objects.filter(pk=house.tenant.pk).update(external_id=unique("pays-in-parts"))
    house.tenant.refresh_from_db()
    tier, key = prepaid_tier(house, prepaid_nano_eur=5 * EUR), house.key(Scope.TIER_CHOOSE)
    contract = house.tenant.contracts.get()
    type(contract.tier).objects.filter(pk=contract.tier_id).update(rate_card=contract.rate_card_id)
    chosen = api.ask("PUT", "/api/contract/tier", key, {"tier": tier.code}).json()
    assert (chosen["is_in_force"], chosen["starts_at"]) == (False, None)
    address = f"/api/operator/credit-orders/{chosen['order_id']}/payment"
    short = api.ask("POST", address, script, {"amount_nano_eur": 3 * EUR, **RECEIVED})
    assert (short.status_code, [one["field"] for one in short.json()["errors"]]) == (400, ["amount_nano_eur"])
    here = f"/api/operator/tenants/{house.tenant.external_id}/credit"
    part = api.ask("POST", f"{here}/payments", script, {"amount_nano_eur": 3 * EUR, **RECEIVED})
    assert part.status_code == 201
    rest = {"amount_nano_eur": 2 * EUR, **RECEIVED, "idempotency_key": "the rest"}
    paid = api.ask("POST", address, script, rest)
    assert paid.json()["tier"] == tier.code
    assert api.get("/api/contract", key).json()["tier"] == tier.code


def test_an_operator_lists_cancels_and_corrects(api: Api, house: House, script: HeldOperatorKey) -> None:
    order = CreditOrder.objects.create(tenant=house.tenant, amount_nano_eur=EUR)
    listed = api.get(f"/api/operator/credit-orders?cursor={order.pk - 1}&limit=1", script).json()["results"]
    assert [(one["id"], one["tenant"]) for one in listed] == [(order.pk, house.tenant.slug)]
    address = f"/api/operator/credit-orders/{order.pk}/cancel"
    assert api.ask("POST", address, script, {"reason": "Ordered twice"}).status_code == 204
    assert api.ask("POST", address, script, {"reason": "Ordered twice"}).status_code == 409
    notice = Notice.objects.get(tenant=house.tenant, kind="credit.order_cancelled")
    assert notice.context["reason"] == "Ordered twice"
    here = f"/api/operator/tenants/{house.tenant.external_id}/credit"
    assert api.ask("POST", f"{here}/payments", script, {"amount_nano_eur": EUR, **RECEIVED}).status_code == 201
    correction = {"amount_nano_eur": -EUR, "reason": "Paid back", "idempotency_key": "c"}
    assert api.ask("POST", f"{here}/corrections", script, correction).status_code == 201
    assert api.ask("POST", f"{here}/corrections", script, correction).status_code == 200
    over = api.ask("POST", f"{here}/corrections", script, correction | {"idempotency_key": "d"})
    assert over.status_code == 409
    assert api.get(here, script).json()["balance_nano_eur"] == 0
    reader = held_operator_key(OperatorScope.BILLING_READ)
    assert api.get(here, reader).status_code == 200
    assert api.ask("POST", f"{here}/corrections", reader, correction).status_code == 403


def test_a_rule_is_set_for_a_tier(api: Api, house: House, script: HeldOperatorKey) -> None:
    code = house.tenant.contracts.get(ends_at=None).tier.code
    rules = api.ask("PUT", "/api/operator/credit-rules", script, {"tier": code, "months": 12}).json()["results"]
    assert {"tier": code, "months": 12} in rules
    assert rules == api.get("/api/operator/credit-rules", script).json()["results"]
    for wrong in ({"tier": "none", "months": 1}, {"tier": code, "months": 0}, {"tier": code}):
        assert api.ask("PUT", "/api/operator/credit-rules", script, wrong).status_code == 400

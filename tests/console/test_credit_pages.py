"""Pages of prepaid credit: an organisation orders, the operator records, both see what is left."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from billing.credit.account import account_of
from billing.limits.budgets import set_budget
from billing.models import CreditOrder, Tier
from console import formats
from identity.models import OperatorRole, Role
from identity.operators import appoint_operator
from tests.support.closings import charging_back, selling
from tests.support.console import page, signed_in
from tests.support.credit import EUR, make_prepaid, pay
from tests.support.ledger import House, house_of, ledger_gateway
from tests.support.people import TESTS, Cast, make_cast, make_operator, make_person

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def house(cast: Cast) -> House:
    house = house_of(cast.tenant)
    make_prepaid(house, prepaid_nano_eur=200 * EUR)
    return house


def order_of(cast: Cast) -> CreditOrder:
    return CreditOrder.objects.filter(tenant=cast.tenant).latest("pk")


def test_finance_orders_and_billing_records(cast: Cast, house: House) -> None:
    finance, here = signed_in(make_person("fay", cast.tenant, Role.FINANCE)), f"/t/{cast.tenant.slug}/billing/credit"
    assert "Used up: requests are refused." in page(finance.get(here))
    assert "At least €200.00." in page(finance.post(f"{here}/order", {"amount": "199.99"}))
    assert finance.post(f"{here}/order", {"amount": "250", "purchase_order": "PO-7"})["Location"] == here
    with selling():
        shown = page(finance.get(here))
    assert "waits for your payment" in shown
    order = order_of(cast)
    for where_to_pay in ("Beffroi SAS", "FR76\u00a03000\u00a06000", "AGRIFRPP", f"CREDIT-{order.pk}"):
        assert where_to_pay in shown, where_to_pay
    with charging_back():
        assert "IBAN" not in page(finance.get(here))
    operator = make_operator(OperatorRole.BILLING)
    bill, shown = signed_in(operator), page(signed_in(operator).get("/operator/billing/credit"))
    assert all(said in shown for said in ("PO-7", f"CREDIT-{order.pk}"))
    address = f"/operator/billing/credit/orders/{order.pk}"
    assert f"CREDIT-{order.pk}." in page(bill.get(address))
    payment = {"amount": "250", "received_on": "2026-11-20", "reference": "RF18", "idempotency_key": "k"}
    for _ in range(2):  # sent twice: the button was pressed twice
        told = bill.post(address, payment)
        assert told["Location"] == f"/operator/tenants/{cast.tenant.slug}/credit"
    account = account_of(cast.tenant)
    assert account is not None
    assert account.free_nano_eur == 250 * EUR
    assert "already" in page(bill.post(address, payment | {"idempotency_key": "other"}))
    shown = page(finance.get(here))
    assert all(words in shown for words in ("RF18", "paid", "250.00"))
    assert "€250.00" in page(finance.get(f"/t/{cast.tenant.slug}/billing"))
    assert "€250.00" in page(signed_in(cast.alice).get(f"/t/{cast.tenant.slug}/"))


def test_an_owner_withdraws_an_order_and_chooses_when_to_be_told(cast: Cast, house: House) -> None:
    alice, here = signed_in(cast.alice), f"/t/{cast.tenant.slug}/billing/credit"
    alice.post(f"{here}/order", {"amount": "200"})
    alice.post(f"{here}/orders/{order_of(cast).pk}/withdraw")
    assert order_of(cast).state == "cancelled"
    assert "whole numbers" in page(alice.post(f"{here}/alerts", {"percents": "a", "amount": ""}))
    assert alice.post(f"{here}/alerts", {"percents": "50, 10", "amount": "25"})["Location"] == here
    shown = page(alice.get(here))
    assert all(words in shown for words in ("50 %", "10 %", "€25.00"))


def test_an_operator_corrects_and_cancels_with_a_reason(cast: Cast, house: House) -> None:
    bill = signed_in(make_operator(OperatorRole.BILLING))
    pay(cast.tenant, 10 * EUR)
    here = f"/operator/tenants/{cast.tenant.slug}/credit"
    correction = {"amount": "-4", "reason": "Paid back", "idempotency_key": "1"}
    assert bill.post(f"{here}/correct", correction)["Location"] == here
    assert "neither spent nor reserved" in page(
        bill.post(f"{here}/correct", {"amount": "-7", "reason": "x", "idempotency_key": "2"})
    )
    assert "Paid back" in page(signed_in(cast.alice).get(f"/t/{cast.tenant.slug}/billing/credit"))
    order = CreditOrder.objects.create(tenant=cast.tenant, amount_nano_eur=EUR)
    assert bill.post(f"/operator/billing/credit/orders/{order.pk}/cancel", {"reason": "Twice"}).status_code == 302
    assert "Twice" in page(bill.get(here))


def test_a_rule_is_set_kept_and_taken_away(cast: Cast, house: House) -> None:
    operator = make_operator(OperatorRole.BILLING)
    appoint_operator(operator, OperatorRole.PLATFORM, actor=TESTS)
    bill, tier = (
        signed_in(operator),
        Tier.objects.get(contracts__tenant=cast.tenant, contracts__ends_at=None),
    )
    Tier.objects.filter(pk=tier.pk).update(name=f"Named {tier.code}")
    rule, listed = "/operator/billing/credit/rule", "/operator/billing/credit"
    assert "Give a number of months." in page(bill.post(rule, {"tier": tier.code, "how": "months"}))
    assert bill.post(rule, {"tier": tier.code, "how": "months", "months": "18"})["Location"] == listed
    assert f"Named {tier.code}" in page(bill.get(listed))
    bill.post(rule, {"tier": tier.code, "how": "default"})
    assert f"Named {tier.code}" not in page(bill.get(listed))


def test_credit_that_is_used_up_needs_attention(cast: Cast, house: House, gateway_database_url: str) -> None:
    alice = signed_in(cast.alice)
    assert "The prepaid credit is used up." in page(alice.get(f"/t/{cast.tenant.slug}/"))
    pay(cast.tenant, EUR)
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, house.key().row)
    shown = page(alice.get(f"/t/{cast.tenant.slug}/"))
    assert "The prepaid credit is used up." not in shown
    assert "budget is used" not in shown


def test_a_budget_is_raised_for_a_time_and_the_raise_ended(cast: Cast) -> None:
    alice, here = signed_in(cast.alice), f"/t/{cast.tenant.slug}/billing"
    budget = set_budget(on=cast.project, period="month", limit_nano_eur=10 * EUR, actor=TESTS)
    address = f"{here}/budgets/{budget.pk}/raise"
    project = f"/t/{cast.tenant.slug}/projects/{cast.project.pk}"
    assert "Raise for a time" in page(alice.get(project))
    until = timezone.localtime(timezone.now() + timedelta(days=3), ZoneInfo(cast.tenant.time_zone))
    until = until.replace(second=0, microsecond=0)
    wish = {"limit_nano_eur": "25", "until": f"{until:%Y-%m-%dT%H:%M}"}
    assert "More than the budget is without it." in page(alice.post(address, wish | {"limit_nano_eur": "9"}))
    assert "within a year" in page(alice.post(address, wish | {"until": "2020-01-01T00:00"}))
    assert alice.post(address, wish)["Location"] == project
    shown = page(alice.get(project))
    assert f"The budget is raised until {formats.moment(until, 'en')}." in shown
    assert f"raised by {cast.alice} until" in shown
    assert f"{until:%H:%M}" in page(alice.get(address))
    assert alice.post(f"{address}/end")["Location"] == project
    assert "raised by" not in page(alice.get(project))
    assert alice.get(f"{here}/budgets/0/raise").status_code == 404
    assert signed_in(cast.bob).get(address).status_code == 403


@pytest.mark.parametrize("amount", ["-5", "1000000001", "1e9", "some"])
def test_what_no_budget_can_be_is_refused_before_anybody_is_asked_to_stop_requests(cast: Cast, amount: str) -> None:
    alice, address = signed_in(cast.alice), f"/t/{cast.tenant.slug}/billing/budget"
    wish = {"limit": amount, "period": "month", "is_hard": "1"}
    for typed in (wish, wish | {"is_confirmed": "on"}):
        shown = page(alice.post(address, typed))
        assert "Give an amount" in shown
        assert "This stops requests now" not in shown
        assert "nano" not in shown


def test_somebody_is_chosen_to_answer_for_a_budget(cast: Cast, house: House) -> None:
    alice, here = signed_in(cast.alice), f"/t/{cast.tenant.slug}"
    key = house.key().row
    for holder, shown_on in (
        (cast.tenant, f"{here}/billing"),
        (cast.project, f"{here}/projects/{cast.project.pk}"),
        (key, f"{here}/keys/{key.lookup}"),
    ):
        budget = set_budget(on=holder, period="month", limit_nano_eur=10 * EUR, actor=TESTS)
        address = f"{here}/billing/budgets/{budget.pk}/responsible"
        assert "nobody answers for it" in page(alice.get(shown_on))
        assert str(cast.charlie.pseudonym) not in page(alice.get(address))
        wrong = alice.post(address, {"responsible": str(cast.charlie.pseudonym)})
        assert wrong.status_code == 200
        assert alice.post(address, {"responsible": str(cast.bob.pseudonym)})["Location"] == shown_on
        assert f"{cast.bob} answers for it" in page(alice.get(shown_on))
        assert signed_in(cast.bob).get(address).status_code == 403
        assert signed_in(cast.charlie).get(address).status_code == 404
        alice.post(address, {"responsible": ""})
        assert f"{cast.bob} answers for it" not in page(alice.get(shown_on))
    assert alice.get(f"{here}/billing/budgets/0/responsible").status_code == 404

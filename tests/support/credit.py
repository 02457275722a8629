"""A house whose requests are paid from prepaid credit, and payments for it."""

from datetime import date
from uuid import UUID, uuid4

from billing.contracts.contracts import start_contract
from billing.credit.moves import Payment, record_payment
from billing.models import Contract, CreditOrder, Tier
from identity.models import Tenant
from tests.support.ledger import House, make_house, unique
from tests.support.operators import RUNS
from tests.support.people import TESTS

EUR = 10**9


def make_prepaid(house: House, *, prepaid_nano_eur: int = EUR) -> Tier:
    """Move the house to a prepaid tier at its prices; the tier."""
    tier = prepaid_tier(house, prepaid_nano_eur=prepaid_nano_eur)
    start_contract(tenant=house.tenant, tier=tier, actor=TESTS)
    return tier


def prepaid_tier(house: House, *, prepaid_nano_eur: int = EUR) -> Tier:
    """A prepaid tier at the prices of the house."""
    code = unique("t")[:32]
    card = house.price_version.rate_card
    return Tier.objects.create(code=code, name="Prepaid", prepaid_nano_eur=prepaid_nano_eur, rate_card=card)


def make_postpaid(house: House) -> Contract:
    """Move the house to a tier that is billed afterwards."""
    code = unique("t")[:32]
    tier = Tier.objects.create(code=code, name="Postpaid", rate_card=house.price_version.rate_card)
    return start_contract(tenant=house.tenant, tier=tier, actor=TESTS)


def make_prepaid_house(credit_nano_eur: int) -> House:
    """A new house on a prepaid tier with so much credit."""
    house = make_house()
    make_prepaid(house)
    pay(house.tenant, credit_nano_eur)
    return house


def pay(tenant: Tenant, amount_nano_eur: int, key: str = "", order: CreditOrder | None = None) -> UUID:
    """Record a payment; the id of its entry."""
    payment = Payment(amount_nano_eur, date(2026, 11, 20), key or str(uuid4()), "RF18 5390 0754 7034")
    return record_payment(by=RUNS, tenant=tenant, payment=payment, order=order).entry_id

"""Months that can be closed: somebody who sells, a buyer, a ledger that was checked, requests of last month."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Unpack
from unittest.mock import patch
from uuid import UUID, uuid4

import psycopg
from django.db import transaction
from django.utils import timezone

from billing.checks import ledger_checks
from billing.closing.issuing import approve, issue
from billing.closing.period import preceding
from billing.closing.previews import ask_previews, make_preview
from billing.invoices.issued import enter
from billing.invoices.legal_parties import PartyWish, put_party
from billing.invoices.settings import SettingsChanges, change_billing_settings
from billing.models import BillingSettings, Budget, Closing, Invoice, LedgerCheck
from identity.access import Caller
from identity.models import Tenant
from identity.service_fields import ServiceChanges
from tests.support.credit import make_prepaid, pay
from tests.support.ledger import House
from tests.support.operators import RUNS
from tests.support.service import service_said

SELLER: ServiceChanges = {
    "trade": "seller",
    "legal_name": "Beffroi SAS",
    "registration_number": "732 829 320",
    "vat_number": "FR44732829320",
    "postal_address": "1 place du Beffroi\n59000 Lille",
    "country": "FR",
    "support_email": "billing@beffroi.example",
}
SETTINGS: SettingsChanges = {
    "iban": "FR76 3000 6000 0112 3456 7890 189",
    "bic": "AGRIFRPP",
    "late_payment": "Penalties for late payment: three times the legal rate.",
    "recovery": "A fixed sum of 40 euros is due for recovery costs.",
    "early_payment": "No discount for early payment.",
}
BUYER = PartyWish(
    legal_name="Atelier du Nord SARL",
    registration_number="552 100 554",
    vat_number="FR83552100554",
    address="12 rue de la Monnaie",
    postcode="59800",
    city="Lille",
    country="FR",
    billing_email="factures@atelier.example",
    buyer_reference="SERVICE-42",
)
CHARGEBACK: ServiceChanges = {"trade": "chargeback"}


def last_month() -> date:
    """The first day of the month before this one, as everybody's clock has it who is near the middle of a month."""
    return preceding((timezone.now() - timedelta(hours=20)).date())


@contextmanager
def billing_said(**changes: Unpack[SettingsChanges]) -> Iterator[None]:
    """Billing settings for the time of a test: there is one row. When credit is invoiced is said past the verb, which
    looks at the credit of all tests.
    """
    before = BillingSettings.objects.filter(is_the_one=True).values().first()
    try:
        BillingSettings.objects.filter(is_the_one=True).delete()
        change_billing_settings(by=RUNS, **SETTINGS)
        if invoiced := changes.pop("credit_invoiced", None):
            BillingSettings.objects.filter(is_the_one=True).update(credit_invoiced=invoiced)
        change_billing_settings(by=RUNS, **changes)
        yield
    finally:
        BillingSettings.objects.filter(is_the_one=True).delete()
        if before:
            BillingSettings.objects.create(**before)


@contextmanager
def checked(*, differences: int = 0, began_at: datetime | None = None) -> Iterator[None]:
    """The ledger was added up again, just now unless it is said when."""
    check = LedgerCheck(began_at=began_at or timezone.now(), ended_at=timezone.now(), differences=differences)
    with patch.object(ledger_checks, "last_check", lambda: check):
        yield


@contextmanager
def selling(**changes: Unpack[SettingsChanges]) -> Iterator[None]:
    """A seller in France, with all that an invoice has to say of it."""
    with service_said(**SELLER), billing_said(**changes), checked():
        yield


@contextmanager
def charging_back() -> Iterator[None]:
    """A house that charges its departments."""
    with service_said(**CHARGEBACK), billing_said(), checked():
        yield


def with_buyer(tenant: Tenant, wish: PartyWish = BUYER) -> Tenant:
    """Say who the tenant is in law."""
    put_party(by=Caller.system("tests", tenant), wish=wish)
    return tenant


def previewed(tenant: Tenant, month: date) -> Closing:
    """The month's lines, made at once."""
    ask_previews(by=RUNS, month=month, tenants=[tenant])
    make_preview(Closing.objects.select_related("tenant").get(tenant=tenant, month=month))
    return Closing.objects.select_related("tenant").get(tenant=tenant, month=month)


def entered(tenant: Tenant, kind: str, amount_nano_eur: int, at: datetime) -> UUID:
    """An entry of the ledger, as if it had been made then."""
    with transaction.atomic():
        key = str(uuid4())
        entry = enter(
            tenant=tenant, kind=kind, amount_nano_eur=amount_nano_eur, reason="Tests", by=RUNS, idempotency_key=key
        )
    made_at(at, "billing_ledger_entry", "id", entry)
    return entry


def credited(house: House, amount_nano_eur: int, at: datetime) -> None:
    """Prepaid credit of the house, from which its requests are paid since then."""
    make_prepaid(house)
    made_at(at, "billing_ledger_entry", "id", pay(house.tenant, amount_nano_eur))
    Budget.objects.filter(tenant_id=house.tenant.pk, source="credit").update(created_at=at)


def made_at(at: datetime, table: str, column: str, value: object) -> None:
    """Let a row of a table that only grows have been made then: only the owner of the tables can."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute(f"alter table {table} disable trigger refuse_change")
        owner.execute(f"update {table} set created_at = %s where {column} = %s", [at, value])
        owner.execute(f"alter table {table} enable trigger refuse_change")


def closed(tenant: Tenant, month: date) -> Invoice | None:
    """The month closed, all the way, whether something is issued or not."""
    previewed(tenant, month)
    approve(by=RUNS, tenant=tenant, month=month)
    return issue(by=RUNS, tenant=tenant, month=month)


def issued(tenant: Tenant, month: date) -> Invoice:
    """The month's invoice, all the way."""
    invoice = closed(tenant, month)
    assert invoice is not None
    return invoice

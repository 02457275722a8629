"""Another legal entity that pays for a tenant, with somebody who signed in for it."""

from django.utils import timezone

from billing.invoices.legal_parties import PartyWish
from billing.invoices.payers import accept_to_pay, name_payer
from billing.models import Payer, PayerPerson
from identity.models import Person, Tenant
from tests.support.people import as_member

GROUP = PartyWish(
    legal_name="Groupe Écluse Holding",
    registration_number="404 833 048",
    vat_number="FR83404833048",
    address="1 place Rihour",
    postcode="59000",
    city="Lille",
    country="FR",
    billing_email="factures@groupe-ecluse.example",
    language="fr",
)


def asked(tenant: Tenant, owner: Person, person: Person) -> Payer:
    """The person was asked, and signed in."""
    payer = name_payer(by=as_member(owner, tenant), email=person.email)
    PayerPerson.objects.filter(payer=payer).update(person=person, joined_at=timezone.now())
    return payer


def paying(tenant: Tenant, owner: Person, person: Person, wish: PartyWish = GROUP) -> Payer:
    """The same, and it accepted."""
    payer = asked(tenant, owner, person)
    return accept_to_pay(person=person, payer_id=payer.pk, wish=wish)

"""Who a tenant is in law: whom its invoices are made out to. Said by its owner or finance, or by the operator."""

from dataclasses import asdict, dataclass, fields

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from billing.invoices.legal_numbers import EU_COUNTRIES, is_vat_number, vat_number, vat_prefix
from billing.models import LegalParty
from identity import audit
from identity.access import Caller
from identity.errors import Invalid
from identity.models import Tenant
from identity.people import clean_email
from identity.permissions import Permission
from identity.service_fields import country_codes
from identity.wording import clean_name, clean_text

ADDRESS_LINES_MAX = 3  # as EN 16931 has them (BT-50, BT-51, BT-163)
# Of a buyer, what an invoice cannot do without (article 226 of directive 2006/112/EC).
NEEDED = ("legal_name", "address", "postcode", "city", "country")
_LENGTHS = {
    "legal_name": 200,
    "registration_number": 64,
    "postcode": 16,
    "city": 100,
    "buyer_reference": 100,
    "contract_reference": 100,
    "purchase_order": 100,
}


@dataclass(frozen=True, slots=True)
class PartyWish:
    """Who the tenant is to be in law, all of it; what is empty is not said.

    address: at most three lines, without postcode and city; country: two letters (ISO 3166-1)
    language: of its invoices; "": that of the house
    """

    legal_name: str = ""
    registration_number: str = ""
    vat_number: str = ""
    address: str = ""
    postcode: str = ""
    city: str = ""
    country: str = ""
    billing_email: str = ""
    buyer_reference: str = ""
    contract_reference: str = ""
    purchase_order: str = ""
    language: str = ""


def party_of(tenant: Tenant) -> LegalParty:
    """Who the tenant is in law; an unsaved row where nobody said it."""
    return LegalParty.objects.filter(tenant=tenant).first() or LegalParty(tenant=tenant)


def put_party(*, by: Caller, wish: PartyWish) -> bool:
    """Say who the tenant is in law. False where it was said so before. Raises `Forbidden`, `Invalid`.

    Invoices that were issued stay as they are.
    """
    by.require(Permission.BILLING_UPDATE)
    values = clean_party(wish)
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)
        row = party_of(by.tenant)
        before = {field: getattr(row, field) for field, value in values.items() if getattr(row, field) != value}
        if not before:
            return False
        LegalParty.objects.update_or_create(tenant=by.tenant, defaults=values)
        target = audit.Target("legal_party", str(by.tenant.pk), values["legal_name"])
        audit.record(
            tenant=by.tenant,
            actor=by.actor,
            action="legal_party.changed",
            target=target,
            before=before,
            after={field: values[field] for field in before},
        )
    return True


def missing_of(party: LegalParty) -> list[str]:
    """What of `NEEDED` is not said."""
    return [field for field in NEEDED if not getattr(party, field)]


def clean_party(wish: PartyWish) -> dict[str, str]:
    """Each field in its one form. Raises `Invalid`."""
    values = {field: str(value).strip() for field, value in asdict(wish).items()}
    for field, length in _LENGTHS.items():
        values[field] = clean_name(values[field], field, length) if values[field] else ""
    values["address"] = _address(values["address"])
    values["country"] = values["country"].upper()
    if values["country"] and values["country"] not in country_codes():
        raise Invalid("country", _("is no country's code"))
    values["vat_number"] = _vat_number(values["vat_number"], values["country"])
    if values["billing_email"]:
        try:
            values["billing_email"] = clean_email(values["billing_email"])
        except Invalid as error:
            raise Invalid("billing_email", error.message) from None
    if values["language"] and values["language"] not in dict(settings.LANGUAGES):
        raise Invalid("language", _("is none that invoices exist in"))
    assert values.keys() == {field.name for field in fields(PartyWish)}
    return values


def _address(text: str) -> str:
    lines = [line.strip() for line in clean_text(text, "address", 300).splitlines() if line.strip()]
    if len(lines) > ADDRESS_LINES_MAX:
        raise Invalid("address", _("must have at most %(count)s lines") % {"count": ADDRESS_LINES_MAX})
    return "\n".join(lines)


def _vat_number(text: str, country: str) -> str:
    number = vat_number(text)
    if not number:
        return ""
    if not country:
        raise Invalid("country", _("must be given beside a VAT number"))
    if not is_vat_number(number, country):
        if country in EU_COUNTRIES and not number.startswith(vat_prefix(country)):
            raise Invalid("vat_number", _("must begin with %(letters)s") % {"letters": vat_prefix(country)})
        raise Invalid("vat_number", _("is not of the form that this country's numbers have"))
    return number

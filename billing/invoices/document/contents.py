"""All that an invoice, a credit note or a statement says, frozen: what is issued, hashed, and made into its files.

Pure, and no tables: closing builds it, the database keeps its JSON, its XML and its PDF show it. Comments name the
business terms (BT-, BG-) of EN 16931 where a field is one of them.

Money of lines is exact (nano-EUR) and in cents, rounded half-even (I4); sums are of cents. Quantities, prices and rates
are decimal texts with a point: no float anywhere.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any

# The form of the JSON. A later one is another number, and this one stays readable.
VERSION = 1
NOT_READABLE = "the contents are of a form that this release does not know"


class Kind(StrEnum):
    """An invoice (UNTDID 1001: 380), a credit note (381), or a statement inside one organisation, which is neither."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    STATEMENT = "statement"


class Unit(StrEnum):
    """What a quantity counts. Prices of tokens, documents and images are for a million of them."""

    MILLION_TOKENS = "million_tokens"
    MILLION_DOCUMENTS = "million_documents"
    MILLION_IMAGES = "million_images"
    MINUTE = "minute"
    LUMP_SUM = "lump_sum"


# UN/ECE recommendation 20, as EN 16931 wants it (BT-130).
UNIT_CODES: Mapping[str, str] = {
    Unit.MILLION_TOKENS: "MIO",
    Unit.MILLION_DOCUMENTS: "MIO",
    Unit.MILLION_IMAGES: "MIO",
    Unit.MINUTE: "MIN",
    Unit.LUMP_SUM: "LS",
}


@dataclass(frozen=True, slots=True)
class Party:
    """Who sells, buys or pays. What is not known is empty.

    legal_id: the number in its register (BT-30, BT-47); legal_scheme: which register, by ISO 6523 (`0002`: SIREN,
    `0009`: SIRET); "" where the register has no code
    legal_mention: form, capital and place of registration, in a sentence (BT-33), for a seller
    country: two letters (ISO 3166-1); lines: at most three lines of the address
    """

    name: str
    country: str
    legal_id: str = ""
    legal_scheme: str = ""
    vat_number: str = ""
    lines: tuple[str, ...] = ()
    city: str = ""
    postcode: str = ""
    email: str = ""
    phone: str = ""
    legal_mention: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was sold (BG-25).

    project: its name; "" for what is no project's (a monthly fee); lines of a project stand together
    description: what it is (BT-153); explanation: how it came about (BT-154), such as by which price
    quantity: negative for a discount or what is given back; unit: one of `Unit`; unit_price: euros a unit, not negative
    exact_nano_eur: the ledger's own sum; net_cents: the same rounded half-even
    vat_category: one of `billing.invoices.vat.Category`, "" in a statement
    vat_rate_percent: such as `20` or `5.5`, `0` where none is charged
    """

    position: int
    description: str
    exact_nano_eur: int
    net_cents: int
    quantity: str = "1"
    unit: str = Unit.LUMP_SUM
    unit_price: str = "0"
    project: str = ""
    cost_centre: str = ""
    purchase_order: str = ""
    explanation: str = ""
    vat_category: str = ""
    vat_rate_percent: str = "0"


@dataclass(frozen=True, slots=True)
class VatSum:
    """What a category and rate come to (BG-23). exemption_code: of the VATEX list (BT-121); its text is BT-120."""

    category: str
    rate_percent: str
    base_cents: int
    tax_cents: int
    exemption_code: str = ""
    exemption_text: str = ""


@dataclass(frozen=True, slots=True)
class Preceding:
    """The invoice that a credit note takes back, in whole or in part (BG-3)."""

    number: str
    issued_on: date


@dataclass(frozen=True, slots=True)
class Payment:
    """How to pay: a transfer to `iban` (BT-84) at `bic` (BT-86), by the terms in words (BT-20). Empty: not said."""

    iban: str = ""
    bic: str = ""
    account_name: str = ""
    terms: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A legal mention (BG-1). code: its subject (UNTDID 4451), which French law wants for three of them:
    `PMD` penalties for late payment, `PMT` the fixed sum for recovery, `AAB` discount for early payment; "" for others.
    """

    text: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class InvoiceContents:
    """The whole of it.

    number: gapless in its series for an invoice and a credit note; a statement's is a reference only
    period_first, period_last: both days are in it (BT-73, BT-74); language: `en`, `fr` or `es`
    buyer: the organisation that used the service; payer: another legal entity that its owner named and that accepted:
    the invoice is then made out to it (`billed_to`, decision 0016), and VAT is by its country and number
    service_name: what the installation calls itself, for the head of the page
    buyer_reference: BT-10; purchase_order: BT-13; contract_reference: BT-12
    prepaid_cents: what was paid before (BT-113); due_cents = gross_cents - prepaid_cents
    rounding_note: in words, how exact amounts became cents
    A statement has no VAT: `vat` is empty, `gross_cents` is `net_cents`. A credit note's amounts are what it takes
    back: above zero where the invoice's are, as its kind turns them round.
    """

    kind: Kind
    number: str
    issued_on: date
    period_first: date
    period_last: date
    language: str
    seller: Party
    buyer: Party
    lines: tuple[Line, ...]
    net_cents: int
    tax_cents: int
    gross_cents: int
    due_cents: int
    prepaid_cents: int = 0
    vat: tuple[VatSum, ...] = ()
    series: str = ""
    due_on: date | None = None
    currency: str = "EUR"
    payer: Party | None = None
    service_name: str = ""
    buyer_reference: str = ""
    purchase_order: str = ""
    contract_reference: str = ""
    preceding: Preceding | None = None
    rounding_note: str = ""
    payment: Payment = Payment()
    notes: tuple[Note, ...] = ()

    @property
    def billed_to(self) -> Party:
        """Whom it is made out to: the buyer in law."""
        return self.payer or self.buyer

    @property
    def exact_nano_eur(self) -> int:
        """The exact sum of all lines, before VAT."""
        return sum(line.exact_nano_eur for line in self.lines)


def to_json(contents: InvoiceContents) -> str:
    """Its canonical JSON: the same contents give the same text, so that a hash of it says that nothing was changed."""
    members = {"version": VERSION, **asdict(contents)}
    return json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=date.isoformat)


def from_json(text: str) -> InvoiceContents:
    """What `to_json` wrote. Raises ValueError for anything else."""
    members = json.loads(text)
    if not isinstance(members, dict) or members.pop("version", None) != VERSION:
        raise ValueError(NOT_READABLE)
    try:
        return _contents(members)
    except (KeyError, TypeError) as error:
        raise ValueError(NOT_READABLE) from error


def digest_of(contents: InvoiceContents) -> str:
    """The SHA-256 of its canonical JSON, in hexadecimal."""
    return hashlib.sha256(to_json(contents).encode()).hexdigest()


def _contents(members: dict[str, Any]) -> InvoiceContents:
    due_on, preceding, payer = members["due_on"], members["preceding"], members["payer"]
    read = {
        "kind": Kind(members["kind"]),
        "issued_on": date.fromisoformat(members["issued_on"]),
        "period_first": date.fromisoformat(members["period_first"]),
        "period_last": date.fromisoformat(members["period_last"]),
        "due_on": date.fromisoformat(due_on) if due_on else None,
        "seller": _party(members["seller"]),
        "buyer": _party(members["buyer"]),
        "payer": _party(payer) if payer else None,
        "lines": tuple(Line(**line) for line in _list(members["lines"])),
        "vat": tuple(VatSum(**one) for one in _list(members["vat"])),
        "preceding": Preceding(preceding["number"], date.fromisoformat(preceding["issued_on"])) if preceding else None,
        "payment": Payment(**members["payment"]),
        "notes": tuple(Note(**note) for note in _list(members["notes"])),
    }
    return InvoiceContents(**(members | read))


def _party(members: dict[str, Any]) -> Party:
    return Party(**(members | {"lines": tuple(_list(members["lines"]))}))


def _list(members: object) -> Sequence[Any]:
    if not isinstance(members, list):
        raise TypeError("not a list")
    return members

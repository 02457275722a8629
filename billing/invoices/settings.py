"""How the seller bills: its bank account, mentions, series of numbers, rates of VAT, who has to approve."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypedDict, Unpack

from django.db import transaction
from django.utils.translation import gettext as _

from billing.credit.account import credit_between_bills
from billing.invoices.legal_numbers import iban, is_bic, is_iban
from billing.invoices.vat_rates import SHIPPED, Rate, percent
from billing.models import BillingSettings, VatRate
from identity import audit
from identity.errors import Conflict, Invalid
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.service_fields import country_codes
from identity.wording import clean_text

PAYMENT_DAYS_MAX = 120
RISE_NOTICE_DAYS_MAX = 366
RATE_MAX = 5000  # hundredths of a percent
_TEXTS = {
    "account_name": 200,
    "legal_mention": 300,
    "late_payment": 500,
    "recovery": 500,
    "early_payment": 500,
    "exemption_text": 300,
}
_PREFIX = re.compile(r"[A-Z0-9][A-Z0-9/-]{0,11}")
_ACCOUNT = re.compile(r"[A-Z0-9]{1,20}")
# Of the journal's export, with what French books usually have (plan comptable général).
ACCOUNTS: Mapping[str, str] = {
    "sales_journal": "VE",
    "bank_journal": "BQ",
    "customers": "411000",
    "revenue": "706000",
    "vat": "445710",
    "bank": "512000",
    "advances": "419100",
}


class SettingsChanges(TypedDict, total=False):
    """Fields of `BillingSettings` that are to change. An empty text takes away what was said."""

    iban: str
    bic: str
    account_name: str
    legal_mention: str
    payment_days: int
    late_payment: str
    recovery: str
    early_payment: str
    invoice_prefix: str
    credit_note_prefix: str
    is_vat_exempt: bool
    exemption_text: str
    needs_two_people: bool
    credit_invoiced: str
    accounts: Mapping[str, str]
    rise_notice_days: int


@dataclass(frozen=True, slots=True)
class KnownRate:
    """A rate of VAT as a list shows it: the operator's own, or one that is shipped."""

    rate: Rate
    is_own: bool

    @property
    def percent(self) -> str:
        """Such as `25.5`."""
        return percent(self.rate.basis_points)


def billing_settings() -> BillingSettings:
    """What is said; before anybody said anything, what counts then (not saved). One query."""
    return BillingSettings.objects.filter(is_the_one=True).first() or BillingSettings()


def accounts_of(known: BillingSettings) -> dict[str, str]:
    """Journals and accounts by name, each as said or as it is before anybody said it."""
    return {**ACCOUNTS, **known.accounts}


def change_billing_settings(*, by: Operator, **changes: Unpack[SettingsChanges]) -> bool:
    """Bill differently from now on. False where it was so before. Raises `Forbidden`, `Invalid`, `Conflict`: prepaid
    credit that is billed in part would have its VAT twice, or never.
    """
    by.require(OperatorPermission.CONTRACT_UPDATE)
    values = _cleaned(changes)
    with transaction.atomic():
        BillingSettings.objects.get_or_create(is_the_one=True)
        row = BillingSettings.objects.select_for_update().get(is_the_one=True)
        before = {field: getattr(row, field) for field, value in values.items() if getattr(row, field) != value}
        if not before:
            return False
        if "credit_invoiced" in before and (names := credit_between_bills()):
            text = _("%(name)s has credit that is billed in part: first it has to be used, and that month be closed.")
            raise Conflict(text % {"name": names[0]})
        after = {field: values[field] for field in before}
        BillingSettings.objects.filter(pk=row.pk).update(**after)
        row.refresh_from_db()
        if row.invoice_prefix == row.credit_note_prefix:
            raise Invalid("credit_note_prefix", _("must differ from that of invoices"))
        target = audit.Target("billing_settings", str(row.pk))
        audit.record(actor=by.actor, action="billing_settings.changed", target=target, before=before, after=after)
    return True


def own_rates() -> list[Rate]:
    """The operator's own rates of VAT, by country and day. One query."""
    found = VatRate.objects.order_by("country", "valid_from")
    return [Rate(*row) for row in found.values_list("country", "valid_from", "basis_points")]


def known_rates() -> list[KnownRate]:
    """All rates, by country, the newest first; of the same day the operator's own hides ours."""
    own = own_rates()
    taken = {(rate.country, rate.valid_from) for rate in own}
    shipped = [KnownRate(rate, is_own=False) for rate in SHIPPED if (rate.country, rate.valid_from) not in taken]
    found = [*(KnownRate(rate, is_own=True) for rate in own), *shipped]
    return sorted(found, key=lambda one: (one.rate.country, -one.rate.valid_from.toordinal()))


def put_vat_rate(*, by: Operator, country: str, valid_from: date, basis_points: int) -> None:
    """Say a country's standard rate from a day on, in hundredths of a percent. Raises `Forbidden`, `Invalid`."""
    by.require(OperatorPermission.CONTRACT_UPDATE)
    country = country.strip().upper()
    if country not in country_codes():
        raise Invalid("country", _("is no country's code"))
    if not 0 <= basis_points <= RATE_MAX:
        raise Invalid("basis_points", _("must be from %(least)d to %(most)d") % {"least": 0, "most": RATE_MAX})
    with transaction.atomic():
        VatRate.objects.update_or_create(
            country=country, valid_from=valid_from, defaults={"basis_points": basis_points}
        )
        detail = {"country": country, "valid_from": valid_from.isoformat(), "percent": percent(basis_points)}
        _record_rate(by, "billing_settings.rate_set", detail)


def end_vat_rate(*, by: Operator, country: str, valid_from: date) -> bool:
    """Forget an own rate. False where there is none. Raises `Forbidden`."""
    by.require(OperatorPermission.CONTRACT_UPDATE)
    with transaction.atomic():
        gone, _each = VatRate.objects.filter(country=country, valid_from=valid_from).delete()
        if gone:
            detail = {"country": country, "valid_from": valid_from.isoformat()}
            _record_rate(by, "billing_settings.rate_taken_away", detail)
    return bool(gone)


def series_code(prefix: str, day: date) -> str:
    """The series that a document of that day is numbered in: one a prefix and year."""
    return f"{prefix}{day:%Y}-"


def _record_rate(by: Operator, action: str, detail: dict[str, str]) -> None:
    audit.record(
        actor=by.actor, action=action, target=audit.Target("billing_settings", detail["country"]), detail=detail
    )


def _cleaned(changes: SettingsChanges) -> dict[str, Any]:
    """Each change in its one form. Raises `Invalid`."""
    values: dict[str, Any] = dict(changes)
    for field, length in _TEXTS.items():
        if field in values:
            values[field] = " ".join(clean_text(str(values[field]), field, length).split())
    if "iban" in values:
        values["iban"] = iban(str(values["iban"]))
        if values["iban"] and not is_iban(values["iban"]):
            raise Invalid("iban", _("is no IBAN: a digit is wrong or missing"))
    if "bic" in values:
        values["bic"] = str(values["bic"]).strip().upper()
        if values["bic"] and not is_bic(values["bic"]):
            raise Invalid("bic", _("is no BIC: it has 8 or 11 letters and digits"))
    _check_days(values)
    if values.get("credit_invoiced", "use") not in BillingSettings.CreditInvoiced.values:
        raise Invalid("credit_invoiced", _("must be use or top_up"))
    _check_prefixes(values)
    if "accounts" in values:
        values["accounts"] = _accounts(values["accounts"])
    return values


def _check_days(values: dict[str, Any]) -> None:
    for field, most in (("payment_days", PAYMENT_DAYS_MAX), ("rise_notice_days", RISE_NOTICE_DAYS_MAX)):
        if not 0 <= int(values.get(field, 0)) <= most:
            raise Invalid(field, _("must be from %(least)d to %(most)d") % {"least": 0, "most": most})


def _check_prefixes(values: dict[str, Any]) -> None:
    for field in ("invoice_prefix", "credit_note_prefix"):
        if field not in values:
            continue
        values[field] = str(values[field]).strip().upper()
        if not _PREFIX.fullmatch(values[field]):
            raise Invalid(field, _("must be capital letters and digits, 12 at most"))


def _accounts(given: Mapping[str, str]) -> dict[str, str]:
    found = {name: str(account).strip().upper() for name, account in given.items()}
    if unknown := found.keys() - ACCOUNTS.keys():
        raise Invalid("accounts", _("has no account called %(name)s") % {"name": sorted(unknown)[0]})
    for name, account in found.items():
        if account and not _ACCOUNT.fullmatch(account):
            raise Invalid(name, _("must be capital letters and digits, 20 at most"))
    return {name: account for name, account in found.items() if account and account != ACCOUNTS[name]}

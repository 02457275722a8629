"""The installation as its people know it: its name, whom they ask, who is behind it in law, its languages.

Pages ask at every request, so that a process keeps what it read for a minute. Whoever changes it sees it at once; what
runs beside (the worker, another machine) follows within the minute.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Unpack

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils.translation import gettext as _

from identity import audit
from identity.errors import Invalid
from identity.models import Service
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.service_fields import ServiceChanges, cleaned

PRODUCT = "Beffroi"
KEPT_SECONDS = 60.0
# Before a database that is away is asked again: each time somebody waits for it.
AWAY_SECONDS = 10.0
_TOLD = (
    "name", "support_email", "support_phone", "support_url", "trade", "legal_name", "registration_number",
    "vat_number", "postal_address", "country", "languages", "default_language", "usage_months",
    "grams_co2e_per_kwh", "logo_digest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class KnownService:
    """What `Service` says, as it was read; without the row, what counts before anybody said anything."""

    name: str = ""
    support_email: str = ""
    support_phone: str = ""
    support_url: str = ""
    trade: str = ""
    legal_name: str = ""
    registration_number: str = ""
    vat_number: str = ""
    postal_address: str = ""
    country: str = ""
    languages: tuple[str, ...] = ()
    default_language: str = "en"
    usage_months: int | None = None
    grams_co2e_per_kwh: int | None = None
    logo_digest: str = ""

    @property
    def title(self) -> str:
        """What to call it."""
        return self.name or PRODUCT

    @property
    def support_contact(self) -> str:
        """Whom people ask, in a line; "" where nobody was named."""
        said = " · ".join(part for part in (self.support_email, self.support_phone) if part)
        return said or str(settings.SUPPORT_CONTACT)

    @property
    def offered_languages(self) -> tuple[str, ...]:
        """Codes, in the order of the settings."""
        return self.languages or tuple(code for code, _name in settings.LANGUAGES)

    @property
    def months_of_usage(self) -> int:
        """Whole months for which usage records stay after their own."""
        return int(self.usage_months or settings.USAGE_RETENTION_MONTHS)

    def language_for(self, wanted: str) -> str:
        """The language that is wanted, where it is offered; else the one that speaks for the house."""
        return wanted if wanted in self.offered_languages else self.default_language


class _Kept:
    """What this process read last, and until when it counts."""

    def __init__(self) -> None:
        self.known = KnownService()
        self.until = 0.0
        self.is_read = False
        self.changes = 0

    def renew(self) -> None:
        """Read it anew. Whoever asks meanwhile goes on with what is known; what was read before a change is dropped."""
        changes = self.changes
        if self.is_read:
            self.until = time.monotonic() + KEPT_SECONDS
        try:
            known, seconds = read_service(), KEPT_SECONDS
        except (OperationalError, InterfaceError):
            known, seconds = self.known, AWAY_SECONDS
        if self.changes == changes:
            self.known, self.until = known, time.monotonic() + seconds
            self.is_read = self.is_read or seconds == KEPT_SECONDS


_kept = _Kept()


def service() -> KnownService:
    """What is said of the service, at most a minute old. Where the database is away, what was known last."""
    if time.monotonic() >= _kept.until:
        _kept.renew()
    return _kept.known


def service_known_last() -> KnownService:
    """The same without asking the database: for a page that tells that it is away."""
    return _kept.known


def read_service() -> KnownService:
    """What is said of the service now. One query."""
    row = Service.objects.filter(is_the_one=True).values(*_TOLD).first()
    return _known(row) if row else KnownService()


def change_service(*, by: Operator, **changes: Unpack[ServiceChanges]) -> bool:
    """Say something else of the service. False where it was so before. Raises `Forbidden`, `Invalid`."""
    by.require(OperatorPermission.PLATFORM_OPERATE)
    return write_service(by=by, values=cleaned(changes))


def write_service(*, by: Operator, values: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> bool:
    """Write clean values of the row; for the verbs of this noun. `beside`: what is written with them and not told.

    False where all was so before. Raises `Invalid` where the default is no language that is offered.
    """
    with transaction.atomic():
        Service.objects.get_or_create(is_the_one=True)
        row = Service.objects.select_for_update().defer("logo").get(is_the_one=True)
        before = {field: getattr(row, field) for field, value in values.items() if getattr(row, field) != value}
        if not before:
            return False
        after = {field: values[field] for field in before}
        Service.objects.filter(pk=row.pk).update(**after, **(beside or {}))
        _require_offered(read_service())
        target = audit.Target("service", str(row.pk), values.get("name") or row.name or PRODUCT)
        audit.record(actor=by.actor, action="service.changed", target=target, before=before, after=after)
        transaction.on_commit(forget_service)
    return True


def forget_service() -> None:
    """Read it anew when it is asked for next."""
    _kept.until = 0.0
    _kept.changes += 1


def _require_offered(known: KnownService) -> None:
    if known.default_language not in known.offered_languages:
        raise Invalid("default_language", _("must be one of the languages that are offered"))


def _known(row: Mapping[str, Any]) -> KnownService:
    return KnownService(**{**row, "languages": tuple(row["languages"])})

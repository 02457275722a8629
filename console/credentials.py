"""Keys and certificates, for those who run the platform: which are in use, what still needs an old one, what ends when.

Numbers and names only: no secret is read for it but the encrypted ones' first three bytes, which say their key.
"""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gateway.pools.sealed_secrets import COLUMNS
from identity import providers
from identity.api_keys import live_keys_by_pepper
from identity.audit_signing import public_keys
from identity.certificates import WARN_BEFORE
from identity.models import Certificate, OperatorKey, ProviderVersion
from identity.sealed_secrets import sealed_by_key

_SHOWN = 100


@dataclass(frozen=True, slots=True)
class RingKey:
    """A numbered key. `uses`: how much still needs it; `state`: `in_use`, `needed`, `idle`, `lost` (not there)."""

    number: int
    uses: int
    state: str
    public: str = ""


@dataclass(frozen=True, slots=True)
class Ring:
    """Keys of one purpose, the newest first, and how one is renewed."""

    title: Promise
    variable: str
    keys: tuple[RingKey, ...]
    renewing: Promise


@dataclass(frozen=True, slots=True)
class Ending:
    """Something with an end. `state`: `active`, `expiring`, `ended` or `unseen`; `ends_at` None: unknown."""

    row: Certificate | OperatorKey
    ends_at: datetime | None
    state: str


def rings(now: datetime) -> list[Ring]:
    """The installation's own keys. Four queries."""
    audit_numbers = sorted(settings.AUDIT_KEYS, reverse=True)
    signing = zip(audit_numbers, public_keys(), strict=True)
    first = audit_numbers[0]
    return [
        Ring(
            _("Peppers of API keys"),
            "BEFFROI_KEY_PEPPERS",
            _ring(set(settings.KEY_PEPPERS), live_keys_by_pepper(now)),
            _("Add one with a higher number and restart. A key takes it when it is made or rotated; take the old one "
              "away once no key needs it."),
        ),
        Ring(
            _("Encryption keys of stored secrets"),
            "BEFFROI_ENCRYPTION_KEYS",
            _ring(set(settings.ENCRYPTION_KEYS), sealed_by_key(COLUMNS)),
            _("Add one with a higher number, restart, run manage.py reseal_secrets, take the old one away, restart."),
        ),
        Ring(
            _("Signing keys of the audit"),
            "BEFFROI_AUDIT_KEYS",
            tuple(RingKey(number, 0, "in_use" if number == first else "needed", key) for number, key in signing),
            _("Add one with a higher number and restart. Keep the old one: it says which checkpoints were yours."),
        ),
    ]  # fmt: skip


def certificates(now: datetime) -> list[Ending]:
    """What servers showed, the first to end first. One query."""
    rows = sorted(Certificate.objects.all()[:_SHOWN], key=lambda row: (row.ends_at is None, row.ends_at or now))
    return [Ending(row, row.ends_at, _state(row.ends_at, now)) for row in rows]


def operator_keys(now: datetime) -> list[Ending]:
    """Operators' keys that work, the first to end first. One query."""
    live = OperatorKey.objects.filter(revoked_at=None, expires_at__gt=now).order_by("expires_at")[:_SHOWN]
    return [Ending(key, key.expires_at, _state(key.expires_at, now)) for key in live]


def platform_providers() -> list[ProviderVersion]:
    """The operators' and the shared provider: when their clients' secrets end, only they know. One query."""
    return [version for version in providers.one_in_use_of_each_kind() if version.provider.tenant_id is None]


def database_tls() -> str:
    """How Django speaks with its database: such as "TLSv1.3", "socket" or "" (neither). One query."""
    if str(settings.DATABASES["default"]["HOST"]).startswith("/"):
        return "socket"
    with connection.cursor() as cursor:
        cursor.execute("select version from pg_stat_ssl where pid = pg_backend_pid() and ssl")
        found = cursor.fetchone()
    return str(found[0]) if found else ""


def _ring(there: set[int], uses: dict[int, int]) -> tuple[RingKey, ...]:
    in_use = max(there)

    def state(number: int) -> str:
        if number not in there:
            return "lost"
        if number == in_use:
            return "in_use"
        return "needed" if uses.get(number) else "idle"

    numbers = sorted(there | uses.keys(), reverse=True)
    return tuple(RingKey(number, uses.get(number, 0), state(number)) for number in numbers)


def _state(ends_at: datetime | None, now: datetime) -> str:
    if ends_at is None:
        return "unseen"
    if ends_at <= now:
        return "ended"
    return "expiring" if ends_at - now <= WARN_BEFORE else "active"

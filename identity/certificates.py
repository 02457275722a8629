"""Certificates, looked at by the worker as any client sees them, and who is told before one ends."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from cryptography import x509
from django.db import transaction
from django.db.models import CharField, QuerySet, Value
from django.db.models.functions import Cast, Concat

from identity import egress
from identity.models import Certificate, OperatorKey
from identity.notices import notify

WARN_BEFORE = timedelta(days=30)
DAYS_BEFORE = (30, 7, 1)
SERVERS_MAX = 500
_AT_ONCE = 8
_NAMES_SHOWN = 20
UsedFor = Certificate.UsedFor


@dataclass(frozen=True, slots=True)
class Server:
    """Where to look, what it is for, and whether it may be in the house."""

    host: str
    port: int
    used_for: Certificate.UsedFor = field(compare=False)
    allow_private: bool = field(compare=False)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server showed, or why nothing."""

    names: tuple[str, ...] = ()
    issuer: str = ""
    ends_at: datetime | None = None
    error: str = ""


def look_at(servers: Iterable[Server], *, now: datetime) -> None:
    """Look at each server and keep what it shows; forget those that are not met any more. Takes up to five minutes."""
    found = list(islice(dict.fromkeys(servers), SERVERS_MAX))
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="certificates") as pool:
        seen = list(pool.map(_seen, found))
    kept = set()
    for server, shown in zip(found, seen, strict=True):
        values: dict[str, object] = {"used_for": server.used_for, "looked_at": now, "error": shown.error}
        if not shown.error:
            values |= {"names": list(shown.names), "issuer": shown.issuer, "ends_at": shown.ends_at}
        row, _ = Certificate.objects.update_or_create(host=server.host, port=server.port, defaults=values)
        kept.add(row.pk)
    Certificate.objects.exclude(pk__in=kept).delete()


def ending_certificates(now: datetime) -> QuerySet[Certificate]:
    """Those that have ended or will soon, the first first."""
    return Certificate.objects.filter(ends_at__lte=now + WARN_BEFORE).order_by("ends_at")


def ending_operator_keys(now: datetime) -> QuerySet[OperatorKey]:
    """Operators' keys that work and will soon end, the first first."""
    live = OperatorKey.objects.filter(revoked_at=None, expires_at__gt=now)
    return live.filter(expires_at__lte=now + WARN_BEFORE).order_by("expires_at")


def first_to_end(now: datetime) -> tuple[str, datetime] | None:
    """What has ended or will soon before all others, by name: a certificate or an operator's key. One query."""
    servers = ending_certificates(now).annotate(told=Concat("host", Value(":"), Cast("port", CharField())))
    keys = ending_operator_keys(now).order_by()
    rows = servers.order_by().values_list("told", "ends_at").union(keys.values_list("name", "expires_at"), all=True)
    name, ends_at = rows.order_by("ends_at").first() or ("", None)
    return (str(name), ends_at) if ends_at is not None else None


def remind_operators(now: datetime) -> None:
    """Tell the platform's operators of what ends: 30, 7 and 1 days before, once each, whatever was missed."""
    for certificate in ending_certificates(now):
        assert certificate.ends_at is not None
        _remind("certificate.ends", str(certificate), certificate.ends_at, now)
    for key in ending_operator_keys(now):
        if key.expires_at - key.created_at > WARN_BEFORE:
            _remind("operator_key.ends", key.name, key.expires_at, now)


def _remind(kind: str, name: str, ends_at: datetime, now: datetime) -> None:
    days = min(days for days in DAYS_BEFORE if ends_at - now <= timedelta(days=days))
    once_key = f"{kind}:{name}:{ends_at.isoformat()}:{days}"[-200:]
    with transaction.atomic():
        notify(None, kind, context={"name": name, "ends_at": ends_at.isoformat()}, once_key=once_key)


def _seen(server: Server) -> Seen:
    try:
        shown = egress.certificate_of(server.host, server.port, allow_private=server.allow_private)
        return _read(x509.load_der_x509_certificate(shown))
    except (egress.EgressError, ValueError) as error:
        return Seen(error=str(error)[:200] or type(error).__name__)


def _read(certificate: x509.Certificate) -> Seen:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        told = [str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress)]
    except x509.ExtensionNotFound:
        told = []
    issuer = certificate.issuer.rfc4514_string()[:300]
    return Seen(tuple(name[:255] for name in told[:_NAMES_SHOWN]), issuer, certificate.not_valid_after_utc)

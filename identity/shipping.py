"""What goes to the operator's collectors: the audit (`audit_shipping.py`), what processes log (`log_shipping.py`).

A batch is sent outside of any transaction; its cursors move once the receiver took it, so what a killed worker had sent
is sent again: everything arrives at least once and in its order. A collector that is away holds nobody up: it is tried
again, ever more rarely, and gets what it missed.

HTTP says when a batch was taken. Syslog has no receipts (RFC 5425, RFC 6587): a batch has a connection of its own, and
that the receiver ends it in order, after us, is taken as one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from identity import audit_shipping, egress, log_shipping, otlp, syslog
from identity.audit_signing import utc_text
from identity.keyring import KeyringError
from identity.models import LogExport
from identity.notices import notify
from identity.secret_box import SecretBoxError, open_sealed

SEND_SECONDS = 15.0
_LEASE = timedelta(seconds=60)  # longer than both batches take; a killed worker's collector waits for so long
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
# After the pauses above: about an hour.
_TELL_AFTER_ATTEMPTS = 18
Fault = LogExport.Fault
_FAULTS: tuple[tuple[type[egress.EgressError], LogExport.Fault], ...] = (
    (egress.UrlRefused, Fault.REFUSED_ADDRESS),
    (egress.AddressRefused, Fault.REFUSED_ADDRESS),
    (egress.TlsRefused, Fault.NO_TLS),
    (egress.TimedOut, Fault.TOO_SLOW),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch. `status`: the receiver's, where it gave one; `pause`: for which it asks to be let be."""

    fault: LogExport.Fault = Fault.NONE
    status: int | None = None
    pause: timedelta = timedelta()

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver took it, be it that it then dropped records by its own word."""
        return self.fault in (Fault.NONE, Fault.RECORDS)


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of one kind, and what notes that they were taken."""

    lines: list[dict[str, Any]]
    keep: Callable[[], None]


def secret_context(export: LogExport) -> str:
    """What a collector's authorization is sealed for."""
    return f"identity.log_export:{export.pk}:authorization"


def ship(*, seconds: float) -> int:
    """Send every collector what it lacks, for about so long. Returns how many events and lines were taken."""
    deadline, taken = time.monotonic() + seconds, 0
    for pk in list(LogExport.objects.order_by("pk").values_list("pk", flat=True)):
        while time.monotonic() < deadline:
            count = _ship_round(pk)
            taken += count
            if not count:
                break
    return taken


def send_test(export: LogExport) -> Outcome:
    """One record that is no event, and says so."""
    line = {"type": "test", "action": "log_export.tested", "at": utc_text(timezone.now()), "text": "Beffroi: a test"}
    return _send(export, [line])


def _ship_round(pk: int) -> int:
    """Send a batch of each kind where it is due and nobody else does. Returns how much was taken, 0 for nothing."""
    export = _claim(pk, timezone.now())
    if export is None:
        return 0
    taken = 0
    for batch in _batches(export):
        outcome = _send(export, batch.lines)
        if not outcome.is_delivered:
            _note_failure(export, outcome)
            return 0
        batch.keep()
        _note_success(export, outcome)
        taken += len(batch.lines)
    LogExport.objects.filter(pk=pk).update(busy_until=None)
    return taken


def _batches(export: LogExport) -> list[Batch]:
    """What is next of each kind, where there is something."""
    batches = []
    if export.has_audit and (events := audit_shipping.next_events(export)):
        lines = audit_shipping.lines_of(export, events)
        batches.append(Batch(lines, lambda: audit_shipping.note_taken(export, events)))
    if export.has_logs and (part := log_shipping.next_lines(export)) is not None:
        batches.append(Batch(part.lines, lambda: log_shipping.note_taken(export, part)))
    return batches


def _claim(pk: int, now: datetime) -> LogExport | None:
    free = Q(busy_until=None) | Q(busy_until__lte=now)
    due = Q(next_try_at=None) | Q(next_try_at__lte=now)
    if not LogExport.objects.filter(free, due, pk=pk).update(busy_until=now + _LEASE):
        return None
    return LogExport.objects.filter(pk=pk).first()


def _send(export: LogExport, lines: list[dict[str, Any]]) -> Outcome:
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    try:
        if export.protocol == LogExport.Protocol.OTLP:
            return _post(export, otlp.request_body(lines, host=host))
        data = syslog.framed(syslog.message(line, host=host) for line in lines)
        is_tls = export.protocol == LogExport.Protocol.SYSLOG_TLS
        trusted = export.trusted if is_tls else None
        egress.deliver(export.address, data, trusted=trusted, total_seconds=SEND_SECONDS)
    except egress.EgressError as error:
        return Outcome(next((fault for kind, fault in _FAULTS if isinstance(error, kind)), Fault.UNREACHABLE))
    return Outcome()


def _post(export: LogExport, body: bytes) -> Outcome:
    headers = {"Content-Type": "application/json"}
    if export.sealed_authorization is not None:
        try:
            secret = open_sealed(export.sealed_authorization, secret_context(export))
        except (SecretBoxError, KeyringError):
            return Outcome(Fault.SECRET)
        headers["Authorization"] = secret.decode("ascii")
    answer = egress.fetch(
        "POST",
        otlp.url_of(export.address),
        headers=headers,
        body=body,
        allow_private=True,
        total_seconds=SEND_SECONDS,
        trusted=export.trusted,
    )
    if not 200 <= answer.status < 300:
        asked = answer.headers.get("Retry-After", "")
        pause = timedelta(seconds=min(int(asked), 3600)) if asked.isdecimal() else timedelta()
        return Outcome(Fault.STATUS, answer.status, pause)
    dropped = otlp.refused_records(answer.body)
    return Outcome(Fault.RECORDS if dropped else Fault.NONE, answer.status)


def _note_success(export: LogExport, outcome: Outcome) -> None:
    now = timezone.now()
    LogExport.objects.filter(pk=export.pk).update(next_try_at=None, attempts=0, went_well_at=now)
    if outcome.fault:
        LogExport.objects.filter(pk=export.pk).update(failed_at=now, fault=outcome.fault, fault_status=outcome.status)


def _note_failure(export: LogExport, outcome: Outcome) -> None:
    now = timezone.now()
    pause = max(min(_FIRST_PAUSE * 2 ** min(export.attempts, 10), _LONGEST_PAUSE), outcome.pause)
    LogExport.objects.filter(pk=export.pk).update(
        busy_until=None,
        next_try_at=now + pause,
        attempts=min(export.attempts + 1, 1_000),
        failed_at=now,
        fault=outcome.fault,
        fault_status=outcome.status,
    )
    if export.attempts + 1 == _TELL_AFTER_ATTEMPTS:
        with transaction.atomic():
            once_key = f"log_export.failing:{export.pk}:{now.isoformat()}"
            notify(None, "log_export.failing", context={"name": export.name}, once_key=once_key)

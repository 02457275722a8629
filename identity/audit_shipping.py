"""Audit events on their way to the operator's collectors: every link of every chain, in its order, at least once.

Each collector has a cursor a chain. As a chain's links have no gaps and are seen in their order, nothing is left out,
whatever commits late elsewhere. A batch is sent outside of any transaction; its cursors move once the receiver took it,
so what a killed worker had sent is sent again. A collector that is away holds nobody up: it is tried again, ever more
rarely, and gets all that it missed.

HTTP says when a batch was taken. Syslog has no receipts (RFC 5425, RFC 6587): a batch has a connection of its own, and
that the receiver ends it in order, after us, is taken as one.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from identity import egress, otlp, syslog
from identity.audit import line_of
from identity.audit_signing import utc_text
from identity.keyring import KeyringError
from identity.models import AuditEvent, LogExport
from identity.notices import notify
from identity.secret_box import SecretBoxError, open_sealed

BATCH_EVENTS_MAX = 500  # some hundred KB, and less than a collector's usual 4 MB with the largest details
_CHAINS_A_BATCH, _OF_A_CHAIN = 50, 100
SEND_SECONDS = 15.0
_LEASE = timedelta(seconds=60)  # longer than a batch takes; a killed worker's collector waits for so long
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

# The chains that have links beyond the collector's cursor, and where it stands in each.
_AHEAD = """
    select head.tenant_id, coalesce(cursor.sequence, 0)
    from identity_audithead head
    left join identity_exportcursor cursor
      on cursor.export_id = %s and cursor.tenant_id is not distinct from head.tenant_id
    where head.sequence > coalesce(cursor.sequence, 0)
    order by head.tenant_id nulls first limit %s
"""
_BEHIND = """
    select export.id, coalesce(sum(greatest(head.sequence - coalesce(cursor.sequence, 0), 0)), 0)
    from identity_logexport export cross join identity_audithead head
    left join identity_exportcursor cursor
      on cursor.export_id = export.id and cursor.tenant_id is not distinct from head.tenant_id
    group by export.id
"""
# Never backwards: a sender that was thought to be lost may come late. Nothing for a collector that was removed.
_MOVE = """
    insert into identity_exportcursor (export_id, tenant_id, sequence)
    select id, %s, %s from identity_logexport where id = %s for key share
    on conflict (export_id, tenant_id)
    do update set sequence = greatest(identity_exportcursor.sequence, excluded.sequence)
"""
_TO_THE_END = """
    insert into identity_exportcursor (export_id, tenant_id, sequence)
    select %s, tenant_id, sequence from identity_audithead
"""


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


def secret_context(export: LogExport) -> str:
    """What a collector's authorization is sealed for."""
    return f"identity.log_export:{export.pk}:authorization"


def ship_audit(*, seconds: float) -> int:
    """Send every collector what it lacks, for about so long. Returns how many events were taken."""
    deadline, taken = time.monotonic() + seconds, 0
    for pk in list(LogExport.objects.order_by("pk").values_list("pk", flat=True)):
        while time.monotonic() < deadline:
            count = _ship_batch(pk)
            taken += count
            if not count:
                break
    return taken


def how_far_behind() -> dict[int, int]:
    """How many events each collector has yet to get, by its id. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_BEHIND)
        return {pk: int(count) for pk, count in cursor.fetchall()}


def begin_at_the_end(export: LogExport) -> None:
    """Leave out every event that there is now, inside the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_TO_THE_END, [export.pk])


def send_test(export: LogExport) -> Outcome:
    """One record that is no event, and says so."""
    line = {"type": "test", "action": "log_export.tested", "at": utc_text(timezone.now()), "text": "Beffroi: a test"}
    return _send(export, [line])


def _ship_batch(pk: int) -> int:
    """Send one batch where it is due and nobody else does. Returns how many events were taken, 0 for none."""
    export = _claim(pk, timezone.now())
    if export is None:
        return 0
    events = _next_events(export)
    if not events:
        LogExport.objects.filter(pk=pk).update(busy_until=None)
        return 0
    outcome = _send(export, [line_of(event, with_names=export.with_names) for event in events])
    if not outcome.is_delivered:
        _note_failure(export, outcome)
        return 0
    _move_cursors(export, events)
    _note_success(export, outcome, len(events))
    return len(events)


def _claim(pk: int, now: datetime) -> LogExport | None:
    free = Q(busy_until=None) | Q(busy_until__lte=now)
    due = Q(next_try_at=None) | Q(next_try_at__lte=now)
    if not LogExport.objects.filter(free, due, pk=pk).update(busy_until=now + _LEASE):
        return None
    return LogExport.objects.filter(pk=pk).first()


def _next_events(export: LogExport) -> list[AuditEvent]:
    with connection.cursor() as cursor:
        cursor.execute(_AHEAD, [export.pk, _CHAINS_A_BATCH])
        ahead = cursor.fetchall()
    found: list[AuditEvent] = []
    for tenant_id, sequence in ahead:
        count = min(_OF_A_CHAIN, BATCH_EVENTS_MAX - len(found))
        links = AuditEvent.objects.filter(tenant=tenant_id, sequence__gt=sequence).order_by("sequence")
        found += links.prefetch_related("known_as")[:count] if export.with_names else links[:count]
    # Of different chains about as they came: within a chain ids rise with the sequence.
    return sorted(found, key=lambda event: event.pk)


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


def _move_cursors(export: LogExport, events: list[AuditEvent]) -> None:
    last = {event.tenant_id: event.sequence for event in events}
    with connection.cursor() as cursor:
        for tenant_id, sequence in last.items():
            cursor.execute(_MOVE, [tenant_id, sequence, export.pk])


def _note_success(export: LogExport, outcome: Outcome, count: int) -> None:
    now = timezone.now()
    LogExport.objects.filter(pk=export.pk).update(
        busy_until=None, next_try_at=None, attempts=0, went_well_at=now, sent=F("sent") + count
    )
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

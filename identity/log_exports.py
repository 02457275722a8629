"""The operator's collectors: where a copy of every audit event goes, or of what the processes log, or of both. Added,
changed, tried and removed by verbs.

A copy elsewhere is what a chain needs against somebody who can rewrite all of it here, and what a security team reads.
"""

import re
from dataclasses import dataclass

from cryptography import x509
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit
from identity.audit_shipping import begin_at_the_end
from identity.egress import UrlRefused, place_of
from identity.errors import Conflict, Invalid, NotFound
from identity.models import LogExport
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.secret_box import seal
from identity.shipping import Outcome, secret_context, send_test
from identity.wording import clean_name

EXPORTS_MAX = 4
_ADDRESS_LENGTH_MAX = 500
_TRUSTED_LENGTH_MAX = 50_000
_AUTHORIZATION_LENGTH_MAX = 4_000
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")
Protocol = LogExport.Protocol
Content = LogExport.Content


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What a person says of a collector. `authorization` empty: none, or, of a change, the one that there is."""

    name: str
    protocol: LogExport.Protocol
    address: str
    trusted: str = ""
    authorization: str = ""
    with_names: bool = False
    content: LogExport.Content = Content.AUDIT


def add_export(*, by: Operator, settings: ExportSettings, from_beginning: bool) -> LogExport:
    """Send every event, every log line or both to a collector, from now on, or all that there are first.

    Raises `Forbidden`, `Invalid`, `Conflict` (too many, or the address is there already).
    """
    by.require(OperatorPermission.PLATFORM_OPERATE)
    clean = _clean(settings)
    with transaction.atomic():
        if LogExport.objects.count() >= EXPORTS_MAX:
            raise Conflict(_("there are at most %(count)s collectors") % {"count": EXPORTS_MAX})
        _refuse_twins(clean)
        export = LogExport.objects.create(**_columns(clean), logs_from=None if from_beginning else timezone.now())
        _seal_authorization(export, clean)
        if not from_beginning and export.has_audit:
            begin_at_the_end(export)
        _record(by, export, "added", from_beginning=from_beginning)
    return export


def change_export(*, by: Operator, export_id: int, settings: ExportSettings) -> LogExport:
    """Change what, where or how; what was sent is not sent again, and of what it did not get so far nothing that was
    before. Raises `Forbidden`, `NotFound`, `Invalid`, `Conflict`.
    """
    by.require(OperatorPermission.PLATFORM_OPERATE)
    clean = _clean(settings)
    with transaction.atomic():
        export = _export(export_id)
        _refuse_twins(clean, but=export)
        _begin_what_is_new(export, clean.content)
        # It is tried anew at once, whatever went wrong before.
        LogExport.objects.filter(pk=export.pk).update(**_columns(clean), next_try_at=None, attempts=0)
        export.refresh_from_db()
        _seal_authorization(export, clean)
        _record(by, export, "changed")
    return export


def remove_export(*, by: Operator, export_id: int) -> None:
    """Send nothing there any more, and forget how far it was. Raises `Forbidden`, `NotFound`."""
    by.require(OperatorPermission.PLATFORM_OPERATE)
    with transaction.atomic():
        export = _export(export_id)
        _record(by, export, "removed")
        export.delete()


def try_export(*, by: Operator, export_id: int) -> Outcome:
    """Send the collector a test record now; takes up to 15 seconds. Raises `Forbidden`, `NotFound`."""
    by.require(OperatorPermission.PLATFORM_OPERATE)
    export = _export(export_id)
    outcome = send_test(export)
    with transaction.atomic():
        _record(by, export, "tested", outcome=outcome.fault.value or "sent")
        if outcome.is_delivered:  # it is back: no need to wait for the next try
            LogExport.objects.filter(pk=export.pk).update(next_try_at=None)
    return outcome


def export_by_id(by: Operator, export_id: int) -> LogExport:
    """A collector. Raises `Forbidden`, `NotFound`."""
    by.require(OperatorPermission.PLATFORM_READ)
    return _export(export_id)


def _export(export_id: int) -> LogExport:
    export = LogExport.objects.filter(pk=export_id).first()
    if export is None:
        raise NotFound("export")
    return export


def _clean(settings: ExportSettings) -> ExportSettings:
    is_otlp = settings.protocol == Protocol.OTLP
    trusted = settings.trusted.strip()
    authorization = settings.authorization.strip()
    if authorization and not is_otlp:
        raise Invalid("authorization", _("is for OTLP only"))
    if len(authorization) > _AUTHORIZATION_LENGTH_MAX or not (authorization.isascii() and authorization.isprintable()):
        raise Invalid("authorization", _("must be printable ASCII"))
    _check_trusted(trusted)
    return ExportSettings(
        name=clean_name(settings.name),
        protocol=Protocol(settings.protocol),
        address=_clean_address(settings.address.strip(), is_otlp=is_otlp),
        trusted=trusted,
        authorization=authorization,
        with_names=settings.with_names,
        content=Content(settings.content),
    )


def _clean_address(address: str, *, is_otlp: bool) -> str:
    wanted = _("must look like https://collector.example.org:4318") if is_otlp else _("must look like host:6514")
    if not is_otlp and not _HOST_AND_PORT.fullmatch(address):
        raise Invalid("address", wanted)
    try:
        place_of(address if is_otlp else f"https://{address}")
    except UrlRefused:
        raise Invalid("address", wanted) from None
    if "?" in address or "#" in address or len(address) > _ADDRESS_LENGTH_MAX:
        raise Invalid("address", wanted)
    return address


def _check_trusted(trusted: str) -> None:
    if not trusted:
        return
    try:
        fine = len(trusted) <= _TRUSTED_LENGTH_MAX and bool(x509.load_pem_x509_certificates(trusted.encode()))
    except ValueError:
        fine = False
    if not fine or "PRIVATE KEY" in trusted:
        raise Invalid("trusted", _("must be certificates in PEM, and nothing else"))


def _columns(clean: ExportSettings) -> dict[str, str | bool]:
    return {
        "name": clean.name,
        "protocol": clean.protocol.value,
        "address": clean.address,
        "trusted": clean.trusted,
        "with_names": clean.with_names,
        "content": clean.content.value,
    }


def _begin_what_is_new(export: LogExport, content: LogExport.Content) -> None:
    """What it gets from now on begins now; what it got once before goes on where it was."""
    if not export.has_audit and content != Content.LOGS and not export.cursors.exists():
        begin_at_the_end(export)
    if not export.has_logs and content != Content.AUDIT and not export.spool_cursors.exists():
        LogExport.objects.filter(pk=export.pk).update(logs_from=timezone.now())


def _seal_authorization(export: LogExport, clean: ExportSettings) -> None:
    """A new one takes the place of the one that there is; of another protocol there is none."""
    if clean.authorization:
        export.sealed_authorization = seal(clean.authorization.encode(), secret_context(export))
    elif clean.protocol != Protocol.OTLP:
        export.sealed_authorization = None
    export.save(update_fields=["sealed_authorization"])


def _refuse_twins(clean: ExportSettings, but: LogExport | None = None) -> None:
    twins = LogExport.objects.filter(protocol=clean.protocol, address=clean.address)
    if twins.exclude(pk=but.pk if but else 0).exists():
        raise Conflict(_("another collector has this address"))


def _record(by: Operator, export: LogExport, what: str, **detail: object) -> None:
    url = export.address if export.protocol == Protocol.OTLP else f"https://{export.address}"
    told = {
        "protocol": export.protocol,
        "host": place_of(url)[0],
        "content": export.content,
        "with_names": export.with_names,
    }
    target = audit.Target("log_export", str(export.pk), shown=export.name)
    audit.record(actor=by.actor, action=f"log_export.{what}", target=target, detail=told | detail)

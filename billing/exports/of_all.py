"""Exports of all tenants, for those who bill them: the sums of days, the ledger's entries and FOCUS, made, kept and
downloaded as a tenant's own are (`exports.py`). They have no tenant, so no tenant's person ever finds one.

Single requests are not among them: what somebody's applications did one by one is the organisation's own to export.
"""

from collections.abc import Iterator
from datetime import date
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from billing.exports.exports import (
    Wanted,
    add_export,
    open_file,
    remove_export,
    require_room,
    target_of,
    told_of_export,
)
from billing.exports.schedules import add_schedule, remove_schedule
from billing.models import Export, ExportSchedule
from identity import audit
from identity.errors import Invalid, NotFound
from identity.operators import Operator
from identity.permissions import OperatorPermission

# What its rows are, and the kind of an export of all that has them.
KINDS_OF_ALL = {
    Export.Kind.DAYS: Export.Kind.ALL_DAYS,
    Export.Kind.LEDGER: Export.Kind.ALL_LEDGER,
    Export.Kind.FOCUS: Export.Kind.ALL_FOCUS,
}
_LOCK = 5_103_002  # an advisory lock: who asks counts those that there are


def ask_export_of_all(
    *, by: Operator, content: Export.Kind, file_format: Export.Format, first_day: date, last_day: date
) -> Export:
    """Have a file made of all tenants; both days belong to it, in the time zone of each.

    content: of `KINDS_OF_ALL`. Raises `Forbidden`, `Invalid` (the content, the period), `Conflict` (too many).
    """
    by.require(OperatorPermission.USAGE_EXPORT)
    wanted = Wanted(_kind_of(content), file_format, first_day, last_day)
    with transaction.atomic():
        _count_alone()
        require_room(None)
        export = add_export(None, wanted, actor=by.actor, person_id=by.person.pk if by.person else None)
        audit.record(actor=by.actor, action="export.asked", target=target_of(export), detail=told_of_export(export))
    return export


def exports_of_all(by: Operator) -> QuerySet[Export]:
    """Those that there are, newest first. Raises `Forbidden`."""
    by.require(OperatorPermission.USAGE_EXPORT)
    return Export.objects.filter(tenant=None).select_related("person").order_by("-id")


def export_of_all(by: Operator, public_id: UUID) -> Export:
    """One of them. Raises `Forbidden`, `NotFound`."""
    export = exports_of_all(by).filter(public_id=public_id).first()
    if export is None:
        raise NotFound("export")
    return export


def cancel_export_of_all(*, by: Operator, public_id: UUID) -> Export:
    """As `exports.cancel_export`."""
    return remove_export(export_of_all(by, public_id), actor=by.actor)


def download_of_all(*, by: Operator, public_id: UUID) -> tuple[Export, Iterator[bytes]]:
    """As `exports.download`, told in the platform's chain."""
    export = export_of_all(by, public_id)
    return export, open_file(export, actor=by.actor)


def schedule_export_of_all(*, by: Operator, content: Export.Kind, file_format: Export.Format) -> ExportSchedule:
    """Have one made of every month, the present one first. Raises `Forbidden`, `Invalid` (the content), `Conflict`."""
    by.require(OperatorPermission.USAGE_EXPORT)
    kind = _kind_of(content)
    with transaction.atomic():
        _count_alone()
        return add_schedule(None, kind, file_format, actor=by.actor)


def schedules_of_all(by: Operator) -> QuerySet[ExportSchedule]:
    """What is made of every month. Raises `Forbidden`."""
    by.require(OperatorPermission.USAGE_EXPORT)
    return ExportSchedule.objects.filter(tenant=None).order_by("kind", "format")


def end_schedule_of_all(*, by: Operator, schedule_id: int) -> None:
    """Make it no more; the files that there are stay. Raises `Forbidden`, `NotFound`."""
    schedule = schedules_of_all(by).filter(pk=schedule_id).first()
    if schedule is None:
        raise NotFound("schedule")
    remove_schedule(schedule, actor=by.actor)


def _kind_of(content: Export.Kind) -> Export.Kind:
    if content not in KINDS_OF_ALL:
        raise Invalid("content", _("single requests are each organisation's own to export"))
    return KINDS_OF_ALL[content]


def _count_alone() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [_LOCK])

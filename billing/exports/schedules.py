"""Exports that are made of every month, once it is over: those who pay are told, by notice and webhook; of those of all
tenants (`of_all.py`) who bills them, by notice.
"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.exports.exports import LAST_ZONE, Wanted, add_export, permission_for, target_of
from billing.models import Export, ExportSchedule
from identity import audit
from identity.access import Caller
from identity.audit import Actor
from identity.errors import Conflict, NotFound
from identity.models import Tenant
from identity.permissions import Permission

SCHEDULES_MAX = 20
# After a month's end; by then what was under way has been settled, and the file is final.
_AFTER = timedelta(hours=2)
_CLOCK = Actor.system("exports")


def schedule_export(*, by: Caller, kind: Export.Kind, file_format: Export.Format) -> ExportSchedule:
    """Have an export made of every month, the present one first. Raises `Forbidden`, `Conflict` (there is one)."""
    by.require(Permission.USAGE_READ_TENANT)
    by.require(permission_for(kind))
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)
        return add_schedule(tenant, kind, file_format, actor=by.actor)


def end_schedule(*, by: Caller, schedule_id: int) -> None:
    """Make it no more; the files that there are stay. Raises `NotFound`, `Forbidden`."""
    schedule = schedules_of(by).filter(pk=schedule_id).first()
    if schedule is None:
        raise NotFound("schedule")
    by.require(permission_for(Export.Kind(schedule.kind)))
    remove_schedule(schedule, actor=by.actor)


def schedules_of(caller: Caller) -> QuerySet[ExportSchedule]:
    """What is made every month. Raises `Forbidden`."""
    caller.require(Permission.USAGE_READ_TENANT)
    return ExportSchedule.objects.filter(tenant=caller.tenant).order_by("kind", "format")


def add_schedule(
    tenant: Tenant | None, kind: Export.Kind, file_format: Export.Format, *, actor: Actor
) -> ExportSchedule:
    """The row of a schedule that may be made, of the tenant or of all, in the transaction of a caller who counts alone.

    Raises `Conflict` (there is one, or too many).
    """
    now, known = database_now(), ExportSchedule.objects.filter(tenant=tenant)
    if known.count() >= SCHEDULES_MAX:
        raise Conflict(_("there are at most %(count)s monthly exports") % {"count": SCHEDULES_MAX})
    if known.filter(kind=kind, format=file_format).exists():
        raise Conflict(_("this export is made every month already"))
    schedule = ExportSchedule.objects.create(
        tenant=tenant,
        kind=kind,
        format=file_format,
        next_month=now.astimezone(ZoneInfo(tenant.time_zone) if tenant else UTC).date().replace(day=1),
        actor_kind=actor.kind.value,
        actor=actor.name,
        created_at=now,
    )
    _record(actor, schedule, "export.scheduled")
    return schedule


def remove_schedule(schedule: ExportSchedule, *, actor: Actor) -> None:
    """Make it no more. The caller saw to who may."""
    with transaction.atomic():
        _record(actor, schedule, "export.unscheduled")
        schedule.delete()


def ask_monthly_exports(now: datetime) -> int:
    """Ask for the exports of the months that are over. Returns how many; a month is asked for once."""
    due = ExportSchedule.objects.filter(next_month__lt=now.date()).select_related("tenant").order_by("pk")
    return sum(_ask(schedule, now) for schedule in due.iterator())


def _ask(schedule: ExportSchedule, now: datetime) -> bool:
    first = schedule.next_month
    following = (first + timedelta(days=32)).replace(day=1)
    if _beginning(following, schedule.tenant) + _AFTER > now:
        return False
    with transaction.atomic():
        # Whoever moves it on asks: a task may run twice.
        if not ExportSchedule.objects.filter(pk=schedule.pk, next_month=first).update(next_month=following):
            return False
        kind, file_format = Export.Kind(schedule.kind), Export.Format(schedule.format)
        wanted = Wanted(kind, file_format, first, following - timedelta(days=1))
        export = add_export(schedule.tenant, wanted, actor=_CLOCK, is_scheduled=True)
        detail = {"kind": kind.value, "format": file_format.value, "month": _month(first)}
        audit.record(
            tenant=schedule.tenant, actor=_CLOCK, action="export.asked", target=target_of(export), detail=detail
        )
    return True


def _beginning(day: date, tenant: Tenant | None) -> datetime:
    """Of the tenant's day; of all tenants, when it has begun for each."""
    if tenant is None:
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + LAST_ZONE
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(tenant.time_zone))


def _record(actor: Actor, schedule: ExportSchedule, action: str) -> None:
    target = audit.Target("export_schedule", str(schedule.pk))
    detail = {"kind": schedule.kind, "format": schedule.format}
    audit.record(tenant=schedule.tenant, actor=actor, action=action, target=target, detail=detail)


def _month(first: date) -> str:
    return f"{first:%Y-%m}"

"""Exports: the files that there are and how far the others are, a new one, and what is made every month."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.exports.exports import KEPT, SHOWN_MAX, ask_export, cancel_export, download, exports_of
from billing.exports.schedules import end_schedule, schedule_export, schedules_of
from billing.models import Export, ExportSchedule
from console.forms.exports import FORMATS, KINDS, SAID, ExportForm, ScheduleForm, kinds_for
from console.pages import is_partial, tenant_page
from console.refusals import show_at_form
from gateway.api.export_files import export_file
from identity.access import Caller
from identity.errors import Conflict, Invalid, NotFound
from identity.permissions import Permission

_FAULTS = {
    Export.Fault.TOO_MANY_ROWS: gettext_lazy("More rows than such a file holds. Choose CSV, or a shorter period."),
    Export.Fault.NO_ROOM: gettext_lazy("Your exports have taken all their room. Remove some, then ask again."),
    Export.Fault.NOT_KEPT: gettext_lazy("Requests of this period are no longer kept one by one. Ask for sums a day."),
    Export.Fault.BROKEN: gettext_lazy("Something went wrong several times. Ask again, or tell the operator."),
    Export.Fault.TOO_SLOW: gettext_lazy("It took more than a day. Choose a shorter period."),
}


@require_GET
@tenant_page(Permission.USAGE_READ_TENANT)
def exports(request: HttpRequest, caller: Caller) -> HttpResponse:
    """The files, newest first; htmx asks again while one is being made."""
    if is_partial(request):
        return render(request, "console/exports/_list.html", _listed(caller))
    return _page(request, caller, ScheduleForm(None, kinds_for(caller)))


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.USAGE_READ_TENANT)
def export_new(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Ask for one."""
    today = timezone.localdate(timezone=ZoneInfo(caller.tenant.time_zone))
    form = ExportForm(request.POST or None, caller, today)
    if request.method == "POST" and form.is_valid():
        try:
            ask_export(by=caller, wanted=form.wanted())
        except Invalid as error:
            show_at_form(form, error)
        except NotFound:
            form.add_error("key", _("There is no such key."))
        except Conflict as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The export is being made. You are told when it is ready."))
            return redirect("exports", slug=caller.tenant.slug)
    last = today.replace(day=1) - timedelta(days=1)
    said = [(value, label, SAID[Export.Kind(value)]) for value, label in form.fields["kind"].choices]  # type: ignore[attr-defined]
    shown = {"form": form, "kinds": said, "last_month": last, "kept_days": KEPT.days}
    return render(request, "console/exports/new.html", shown)


@require_GET
@tenant_page(Permission.USAGE_READ_TENANT)
def export_download(request: HttpRequest, caller: Caller, public_id: UUID) -> HttpResponseBase:
    """The file."""
    return export_file(request, *download(by=caller, public_id=public_id))


@require_POST
@tenant_page(Permission.USAGE_READ_TENANT)
def export_remove(request: HttpRequest, caller: Caller, public_id: UUID) -> HttpResponse:
    """Stop making it, or throw the file away."""
    try:
        cancel_export(by=caller, public_id=public_id)
    except Conflict:
        messages.info(request, _("The export had ended already."))
    else:
        messages.success(request, _("The export was removed."))
    return redirect("exports", slug=caller.tenant.slug)


@require_POST
@tenant_page(Permission.USAGE_READ_TENANT)
def export_schedule(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Have one made every month."""
    form = ScheduleForm(request.POST, kinds_for(caller))
    if form.is_valid():
        kind, file_format = form.chosen()
        try:
            schedule_export(by=caller, kind=kind, file_format=file_format)
        except Conflict as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("It is made of every month from this one on, once the month is over."))
            return redirect("exports", slug=caller.tenant.slug)
    return _page(request, caller, form)


@require_POST
@tenant_page(Permission.USAGE_READ_TENANT)
def export_schedule_end(request: HttpRequest, caller: Caller, schedule_id: int) -> HttpResponse:
    """Make it no more."""
    end_schedule(by=caller, schedule_id=schedule_id)
    messages.success(request, _("The monthly export was ended. The files that there are stay."))
    return redirect("exports", slug=caller.tenant.slug)


def _page(request: HttpRequest, caller: Caller, form: ScheduleForm) -> HttpResponse:
    slug = caller.tenant.slug
    shown = _listed(caller) | {
        "form": form,
        "schedules": listed_schedules(
            schedules_of(caller),
            lambda one: reverse("export-schedule-end", kwargs={"slug": slug, "schedule_id": one}),
        ),
        "schedule_address": reverse("export-schedule", kwargs={"slug": slug}),
    }
    return render(request, "console/exports/exports.html", shown)


def _listed(caller: Caller) -> dict[str, Any]:
    slug = caller.tenant.slug

    def address(what: str, public_id: UUID | None) -> str:
        parts = {"slug": slug} | ({"public_id": public_id} if public_id else {})
        return reverse(f"export-{what}" if what else "exports", kwargs=parts)

    return listed(exports_of(caller), address)


def listed_schedules(
    schedules: Iterable[ExportSchedule], end: Callable[[int], str]
) -> list[tuple[ExportSchedule, Promise | str, Promise | str, str]]:
    """Each with its words and the address that ends it."""
    return [
        (one, KINDS[Export.Kind(one.content)], FORMATS[Export.Format(one.format)], end(one.pk)) for one in schedules
    ]


def listed(exports: QuerySet[Export], address: Callable[[str, UUID | None], str]) -> dict[str, Any]:
    """What the list of exports is made of. `address`: of "file" and "remove" of one, of "new" and "" for the list."""
    found = list(exports[:SHOWN_MAX])
    lines = [
        {
            "export": export,
            "kind": KINDS[Export.Kind(export.content)],
            "file": address("file", export.public_id),
            "remove": address("remove", export.public_id),
            "format": FORMATS[Export.Format(export.format)],
            "fault": _FAULTS.get(Export.Fault(export.fault), ""),
            "is_narrowed": bool(export.project_id or export.key_id or export.model),
        }
        for export in found
    ]
    is_open = any(export.is_open for export in found)
    places = {"list_address": address("", None), "new_address": address("new", None)}
    return {"lines": lines, "is_open": is_open, "kept_days": KEPT.days} | places

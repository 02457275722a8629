"""Who did what: the newest events first, one event, whether the chain holds, and the chain as a file."""

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy
from django.views.decorators.http import require_GET, require_POST

from console.audit_lines import audit_lines, changes_of, part_of
from console.audit_wording import DOORS, NOUNS
from console.pages import is_partial, tenant_page
from gateway.api.audit_files import FORMATS, export
from identity.access import Caller
from identity.audit_signing import public_keys
from identity.audit_trail import (
    VERIFIED_AT_ONCE,
    Filters,
    checkpoints_of,
    event_for,
    events_page,
    links_of,
    people_of,
    verification_of,
    verify_and_keep,
)
from identity.errors import NotFound
from identity.permissions import Permission
from identity.tasks import verify_audit_chain

_HIGHEST_SEQUENCE = 2**63 - 1
_ANY = ("", gettext_lazy("Any"))


class FilterForm(forms.Form):
    """Which events to show. What makes no sense filters nothing."""

    actor = forms.CharField(label=gettext_lazy("Who"), required=False, max_length=64, widget=forms.Select)
    action = forms.CharField(label=gettext_lazy("What"), required=False, max_length=64, widget=forms.Select)
    door = forms.ChoiceField(label=gettext_lazy("Through"), required=False, choices=[_ANY, *DOORS.items()])
    since = forms.DateField(
        label=pgettext_lazy("first day", "From"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )
    until = forms.DateField(
        label=gettext_lazy("To"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )
    target_kind = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)
    target = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    after = forms.IntegerField(required=False, min_value=1, max_value=_HIGHEST_SEQUENCE, widget=forms.HiddenInput)

    def __init__(self, data: Any, caller: Caller) -> None:
        super().__init__(data)
        chosen, actors = self.data.get("actor", ""), people_of(caller)
        if chosen and chosen not in dict(actors):
            actors.append((chosen, chosen))
        self.fields["actor"].widget.choices = [_ANY, *actors]
        nouns = sorted(NOUNS.items(), key=lambda noun: str(noun[1]).casefold())
        self.fields["action"].widget.choices = [_ANY, *nouns]
        for name in ("actor", "action", "door"):
            self.fields[name].widget.attrs["class"] = "form-select"
        for name in ("since", "until"):
            self.fields[name].widget.attrs["class"] = "form-control"

    def filters(self, caller: Caller) -> Filters:
        """What was asked for; days are those of the tenant's time zone, the last one included."""
        self.is_valid()
        given = self.cleaned_data
        zone = ZoneInfo(caller.tenant.time_zone)
        since, until = given.get("since"), given.get("until")
        return Filters(
            **{name: given.get(name) or "" for name in ("actor", "action", "door", "target_kind", "target")},
            since=_midnight(since, zone) if since else None,
            until=_midnight(until + timedelta(days=1), zone) if until and until < date.max else None,
        )


@require_GET
@tenant_page(Permission.AUDIT_READ)
def audit(request: HttpRequest, caller: Caller) -> HttpResponse:
    """The newest events, filtered."""
    form = FilterForm(request.GET, caller)
    filters = form.filters(caller)
    after = form.cleaned_data.get("after")
    page = events_page(caller, filters, before=after)
    shown = {
        "form": form,
        "lines": audit_lines(caller, page.events),
        "next": page.next or "",
        "is_first": after is None,
        "is_filtered": filters != Filters(),
        "query": request.GET.urlencode(),
    }
    if is_partial(request):
        return render(request, "console/audit/_list.html", shown)
    signed = checkpoints_of(caller, size=1)
    shown |= {
        "verification": verification_of(caller.tenant),
        "checkpoint": signed[0] if signed else None,
        "may_export": caller.may(Permission.AUDIT_EXPORT),
    }
    return render(request, "console/audit/audit.html", shown)


@require_GET
@tenant_page(Permission.AUDIT_READ)
def event(request: HttpRequest, caller: Caller, sequence: int) -> HttpResponse:
    """One event: before and after, from where, and its place in the chain."""
    row = event_for(caller, sequence)
    shown = {
        "event": row,
        "line": audit_lines(caller, [row])[0],
        "changes": changes_of(row),
        "actor": part_of(row, "actor"),
        "target": part_of(row, "target"),
        "hash": bytes(row.hash).hex(),
        "previous_hash": bytes(row.previous_hash).hex(),
        "public_keys": public_keys(),
    }
    return render(request, "console/audit/event.html", shown)


@require_POST
@tenant_page(Permission.AUDIT_READ)
def verify(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Verify the chain: now, or, where it is long, in the background."""
    links = links_of(caller.tenant)
    if links > VERIFIED_AT_ONCE:
        verify_audit_chain.delay(caller.tenant.pk)
        messages.info(request, _("The chain is long: it is being verified in the background. Come back in a minute."))
        return redirect("audit", slug=caller.tenant.slug)
    found = verify_and_keep(caller.tenant)
    if found.broken_sequence is None:
        text = ngettext("The chain holds: %(count)d link.", "The chain holds: %(count)d links.", found.links)
        messages.success(request, text % {"count": found.links})
    else:
        messages.error(request, _("The chain is broken at link %(number)d.") % {"number": found.broken_sequence})
    return redirect("audit", slug=caller.tenant.slug)


@require_GET
@tenant_page(Permission.AUDIT_EXPORT)
def export_file(request: HttpRequest, caller: Caller, kind: str) -> HttpResponseBase:
    """The chain as a file."""
    if kind not in FORMATS:
        raise NotFound("format")
    return export(request, caller, kind, FilterForm(request.GET, caller).filters(caller))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone)

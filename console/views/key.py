"""One key: what it is, what bounds it, what it did; changed, ended, revoked."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.limits.key_bounds import bounds_of, change_bounded_key
from billing.limits.what_applies import what_applies
from billing.usage.key_errors import last_errors
from billing.usage.records import Reader
from billing.usage.span import Days
from billing.usage.table import usage_by_model
from console.audit_lines import audit_lines
from console.forms.keys import ChangeKeyForm, initial_of
from console.key_words import is_word_right, was_used_lately
from console.model_choices import models_for_keys
from console.pages import tenant_page
from console.views.key_making import put_on_form, scopes_to_give
from identity.access import Caller, key_for
from identity.api_keys import revoke_api_key
from identity.audit_trail import events_about
from identity.budget_duties import people_answering
from identity.errors import Conflict, Forbidden, Invalid
from identity.keep import Keep
from identity.key_handover import people_who_may_answer
from identity.key_rotation import end_previous_secret
from identity.key_rules import rules_of
from identity.key_search import State, state_of
from identity.key_use import last_used_at
from identity.model_lists import model_lists_of
from identity.models import ApiKey, Person
from identity.permissions import Permission

_USAGE_DAYS = 30
_ERRORS_DAYS = 7
_HISTORY = "history"


@require_GET
@tenant_page(Permission.KEY_READ)
def key(request: HttpRequest, caller: Caller, lookup: str) -> HttpResponse:
    """What it is and what applies; on a second part what went wrong and who changed it."""
    found = key_for(caller, lookup)
    now = timezone.now()
    is_history = request.GET.get("part") == _HISTORY
    shown = _about(found) | {"is_history": is_history, "usage_days": _USAGE_DAYS, "errors_days": _ERRORS_DAYS}
    if is_history:
        shown["errors"] = last_errors(caller.tenant.pk, found.pk, since=now - timedelta(days=_ERRORS_DAYS))
        shown["audit_events"] = audit_lines(caller, events_about(caller, found))
    else:
        shown["bounds"], shown["model_lists"] = what_applies(found), model_lists_of(found)
        shown["answering"] = people_answering(bound.id for bound in shown["bounds"] if bound.is_money)
        today = timezone.localdate(now)
        days = Days(today - timedelta(days=_USAGE_DAYS - 1), today, caller.tenant.time_zone)
        shown["usage"] = usage_by_model(Reader(caller.tenant.pk, key_id=found.pk), days)
    return render(request, "console/keys/key.html", shown)


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.KEY_UPDATE)
def key_edit(request: HttpRequest, caller: Caller, lookup: str) -> HttpResponse:
    """Changed without a reset: what was consumed of its budget and limits stays."""
    found = key_for(caller, lookup, Permission.KEY_UPDATE)
    people = people_who_may_answer(caller)
    bounds = bounds_of(found)
    form = ChangeKeyForm(
        request.POST if request.method == "POST" else None,
        initial=initial_of(found, bounds),
        rules=rules_of(caller.tenant),
        may_give=scopes_to_give(caller),
        models=models_for_keys(caller.tenant, found.project, kept=found.allowed_models),
        people=people,
        may_bind=caller.may(Permission.BUDGET_UPDATE),
        is_personal=found.owner_id is not None,
    )
    if request.method == "POST" and form.is_valid() and _changed(caller, found, form, people):
        messages.success(request, _("The key was changed. What it has consumed stays counted."))
        return redirect("key", slug=caller.tenant.slug, lookup=lookup)
    return render(request, "console/keys/edit.html", {"key": found, "form": form, "project": found.project})


@require_POST
@tenant_page(Permission.KEY_ROTATE)
def key_end_previous(request: HttpRequest, caller: Caller, lookup: str) -> HttpResponse:
    """The secret before the last rotation stops now."""
    found = key_for(caller, lookup, Permission.KEY_ROTATE)
    if end_previous_secret(found, by=caller):
        messages.success(request, _("The old secret has ended."))
    return redirect("key", slug=caller.tenant.slug, lookup=lookup)


@require_POST
@tenant_page(Permission.KEY_REVOKE)
def key_revoke(request: HttpRequest, caller: Caller, lookup: str) -> HttpResponse:
    """Stopped for good; one that was used in the last hour after its look-up was typed."""
    found = key_for(caller, lookup, Permission.KEY_REVOKE)
    if was_used_lately(found) and not is_word_right(request, found.lookup):
        messages.error(request, _("The key was used in the last hour. To revoke it, type what is asked for."))
    elif revoke_api_key(found, actor=caller.actor):
        messages.success(request, _("The key is revoked. No request is accepted with it any more."))
    return redirect("key", slug=caller.tenant.slug, lookup=lookup)


def _about(found: ApiKey) -> dict[str, Any]:
    now = timezone.now()
    use = getattr(found, "use", None)
    state = state_of(found, now)
    return {
        "key": found,
        "state": state.value,
        "works": state in (State.ACTIVE, State.EXPIRING, State.ROTATING, State.BLOCKED),
        "has_two": found.previous_ends_at is not None and found.previous_ends_at > now,
        "use": use,
        "last_used_at": last_used_at(found),
        "word": found.lookup if was_used_lately(found) else "",
    }


def _changed(caller: Caller, found: ApiKey, form: ChangeKeyForm, people: list[Person]) -> bool:
    given = form.cleaned_data
    responsible: Person | Keep | None = Keep.KEEP
    if "responsible" in form.changed_data:
        responsible = next((one for one in people if str(one.pseudonym) == given["responsible"]), None)
    policy = form.policy()
    if "expires_on" not in form.changed_data:
        policy = form.policy_until(found.expires_at)
    try:
        bounds = form.bounds() if "budget" in form.fields else None
        change_bounded_key(found, by=caller, name=given["name"], policy=policy, bounds=bounds, responsible=responsible)
    except (Invalid, Conflict) as refused:
        put_on_form(form, refused)
        return False
    except Forbidden:
        form.add_error(None, _("You may not give a key this: nobody gives more than they have themselves."))
        return False
    return True

"""Where an organisation could save."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing.usage.records import reader_of_member
from console.pages import tenant_page
from gateway.api.advice import advice_to
from identity.access import Caller
from identity.concerns import COUNTED_MAX, concerns_of
from identity.permissions import Permission


@require_GET
@tenant_page(Permission.USAGE_READ)
def usage_advice(request: HttpRequest, caller: Caller) -> HttpResponse:
    """What its own figures say, each with the amount; and keys that nobody uses."""
    found = advice_to(reader_of_member(caller), caller.tenant)
    unused = concerns_of(caller, now=timezone.now()).unused_keys
    shown = {
        "advice": found,
        "unused_keys": unused,
        "unused_are_more": unused > COUNTED_MAX,
        "is_empty": not (found.cheaper or found.cache or found.limits or unused),
    }
    return render(request, "console/usage/advice.html", shown)

"""Who vouches for people: the operators' provider, the shared one, organisations' own. Each is changed elsewhere."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.pages import operator_page
from identity.models import IdentityProvider, Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission
from identity.provider_list import has_break_glass, platform_doors, tenants_doors

_AUDIENCE = IdentityProvider.Audience


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def identity(request: HttpRequest, operator: Person) -> HttpResponse:
    """All doors, and whether somebody comes in while none answers."""
    by, after = operator_for_person(operator), request.GET.get("after", "")
    start = int(after) if after.isdecimal() and len(after) < 19 else 0
    doors = platform_doors(by)
    own, further = tenants_doors(by, after=start)
    shown = {
        "operators": doors.get(_AUDIENCE.OPERATORS),
        "shared": doors.get(_AUDIENCE.SHARED),
        "own": own,
        "next": further or "",
        "is_first": not start,
        "has_break_glass": has_break_glass(),
    }
    return render(request, "console/operator/settings/identity.html", shown)

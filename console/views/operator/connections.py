"""Every connection that the installation can make, for those who run it and who answer for it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.connections import Place, places_of
from console.connections import connections as all_connections
from console.pages import operator_page
from identity.models import Person
from identity.permissions import OperatorPermission

# Names that take longer are shown as unknown: a page is quick, `manage.py connections` takes its time.
_LOOK_UP_SECONDS = 1.0
_SHOWN = 50  # destinations of a line; the command lists all


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def connections(request: HttpRequest, operator: Person) -> HttpResponse:
    """The list, and in short what leaves the house."""
    lines = all_connections()
    places = places_of(lines, seconds=_LOOK_UP_SECONDS)
    rows = [
        {
            "line": line,
            "destinations": [(one, places[one.host]) for one in line.destinations[:_SHOWN]],
            "more": max(0, len(line.destinations) - _SHOWN),
        }
        for line in lines
    ]
    outside = [line.title for line in lines if any(places[one.host] == Place.OUTSIDE for one in line.destinations)]
    return render(request, "console/operator/settings/connections.html", {"rows": rows, "outside": outside})

"""The operator's first page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.pages import operator_page
from identity.models import Person
from identity.permissions import OperatorPermission


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def overview(request: HttpRequest, operator: Person) -> HttpResponse:
    """How the platform is."""
    return render(request, "console/operator/overview/overview.html")
